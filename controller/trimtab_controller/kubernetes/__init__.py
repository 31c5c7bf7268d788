"""Services on Kubernetes: what is there, seen through watches, and the few fields trimtab writes.

Read `spec.py` (what the configuration says), `objects.py` and `kinds.py` (what is kept of which
objects), `watch.py` and `cluster.py` (how it stays so), `lookout.py`, `owners.py` and `scene.py`
(one service among them, and what follows), `writes.py` and `events.py` (what is written), and
`stages/kubernetes.py`, which the loop talks to. A call goes by `api.py` and may end in `faults.py`.
"""
