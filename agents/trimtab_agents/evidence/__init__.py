"""What a policy would have done with a recorded past, and how sure one can be of it.

In the order in which to read: ``past`` (what was recorded), ``replay`` (the same arrivals through
the simulator), ``certificate`` (does the simulator reproduce what was seen?), ``sequence``
(intervals that may be looked at daily), ``doubt`` (what is not known of the profile), ``claims``;
``findings`` is what comes out.
"""
