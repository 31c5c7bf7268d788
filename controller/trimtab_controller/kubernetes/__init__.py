"""Services on Kubernetes: what is there, seen through watches, and the few fields trimtab writes.

Read `spec.py` (what the configuration says), `objects.py` and `kinds.py` (what is kept of which
objects), `watch.py` and `cluster.py` (how it stays so), `api.py` and `faults.py` (what a call may
end in).
"""
