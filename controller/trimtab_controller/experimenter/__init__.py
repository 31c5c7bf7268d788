"""Who runs experiments, in the command line's own process: rounds of variants until it is enough.

`spec.py` is the FILE, `score.py` what is looked for, `hunt.py` what is tried next and when to stop.
The daemon knows none of it: to it, an experiment is one round after the other (`variants`).
"""
