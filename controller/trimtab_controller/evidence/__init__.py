"""The shadow scorecard: what a service's journal proves of the policy, and what is missing yet.

In the order in which to read: ``recorded`` (the journal as arrays), ``steered`` (the policy as the
daemon would run it, over the simulator), ``scorecard``, ``gates`` and ``ladder``, ``page`` (for a
boss), ``office`` (the daemon's side: the work is done in a process of its own). Nothing here can
change a mode: a test and an import contract see to that.
"""
