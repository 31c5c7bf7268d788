"""Gives every target an autoscaler to stay underneath, remembers what was, and puts it back.

`trimtab install` and `trimtab uninstall` are for a person, with that person's credentials: the
daemon itself may create and delete nothing. What was before stands on the objects themselves, so
that each can be put back by whoever finds it, however much of the rest was done.

Read `plan.py` (what a step is), `scan.py` (what is there), `begin.py` and `end.py` (the steps).
"""
