"""When a service's memory, connections or latency will meet a limit, and what is proposed then.

Read `vitals.py` (what is watched, a row a minute), `chart.py` (a day of it), `outlook.py` (what it
foretells), `foresight.py` (all services, kept by the journal), then what comes of it: `restart.py`
(asked like any change) and `headroom.py` (replicas added to what the policy wants).
"""
