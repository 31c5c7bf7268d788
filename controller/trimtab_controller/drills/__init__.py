"""Drills: things fail on purpose, inside a boundary that the guard enforces.

In the order in which it is worth reading: `plan.py` (what a file asks for), `course.py` (how far a
drill is, and what comes next; the boundary is `trimtab_guard.blast`), `lens.py` (what is broken
between sensor, stage and loop), `site.py` (that, and the stage), `drills.py` (all drills, in the
journal, driven by the loop), `page.py` (what happened, for people), `messages.py` (the API's).
"""
