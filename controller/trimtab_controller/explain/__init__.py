"""Why trimtab decided what it did, and whether it was right: all from the journal.

`decisions` finds a tick in the journal, `sentence` puts it into words, `hindsight` compares it with
what came, `relive` repeats it with parts left out, and `explanation` makes one answer of all.
"""
