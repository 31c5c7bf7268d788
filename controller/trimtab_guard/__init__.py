"""The safety layer: limits, memory and the judge that no policy can get past.

Pure functions over frozen values, standard library only. Read it in this order: ``model``
(what comes in and goes out), ``limits``, ``guard.judge``, then the two tables in ``replicas``
and ``route``. SAFETY.md says the same in plain words.
"""
