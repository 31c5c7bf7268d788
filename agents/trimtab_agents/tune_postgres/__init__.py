"""Good settings for a PostgreSQL server under a workload, measured on a real one of our own.

Read `settings.py` (what can be set), `workload.py` (what is asked), `cost.py` (the score),
`trial.py` with `server.py` and `allowance.py` (how one choice is measured), then `command.py`.
"""
