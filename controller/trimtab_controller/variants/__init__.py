"""Variants of a backend on copies of live traffic, measured in rounds beside the live one.

In the order in which it is worth reading: `plan.py` (what is wanted, and its edges), `round.py`
(how it went), `sight.py` (what Envoy counted of each), `watch.py` (one round as it goes),
`rounds.py` (all rounds, in the journal), `messages.py` (the API's). Who runs rounds, and looks for
what to try next, is the command line: `trimtab_controller.cli.experiment`.
"""
