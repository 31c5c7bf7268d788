"""Why trimtab decided what it did, whether it was right, and what made requests miss.

All of it comes from the journal. For one decision, `decisions` finds the tick, `sentence` puts it
into words, `hindsight` compares it with what came, `relive` repeats it with parts left out, and
`explanation` makes one answer of all. For misses, `rise` finds when, `steps` what changed then,
`suspects` by whose hand, and `changes` makes the answer.
"""
