"""Which of several daemons leads, decided by a Kubernetes Lease.

Leadership is no fence: it only says who may try. A write is fenced by the journal, which has one
writer, by its epoch and by its resourceVersion (SAFETY.md, "Two daemons").

Read `spec.py` (the configuration), `election.py` (the rules, pure), `candidate.py` (the thread that
keeps them) and `lease.py` (the object).

The client library's own elections would not do: they go by the wall clock, count no transitions,
never let go of a Lease, and end for good when a connection fails.
"""
