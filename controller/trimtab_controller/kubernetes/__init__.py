"""Services on Kubernetes: what is there, seen through watches, and the few fields trimtab writes.

Read `spec.py` (what the configuration says).
"""
