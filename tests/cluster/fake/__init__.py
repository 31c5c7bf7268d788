"""A Kubernetes API server in one thread, as faithful as trimtab's tests need it.

Read `api.py` (the verbs) first, then `writing.py` (how an object gets into the store), `store.py`
(objects and versions), `watch.py`, `merge.py` and `ownership.py` (patches, server-side apply and
managed fields), `kinds.py` (what there is), `server.py` (HTTP), and `faults.py` (what goes wrong
when a test asks for it).

Why not PyPI's kmock 0.8: it keeps objects, but has no resource versions, no conflicts, no patches
but merge patches, no managed fields and no expired watches, which is what these tests are about.
"""
