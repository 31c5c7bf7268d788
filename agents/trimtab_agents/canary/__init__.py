"""Is the new version worse? A comparison of two sides under one load that may be asked any time.

Read `reading.py` (what one tick brings), `rules.py` (what would matter, and how sure to be),
`gathered.py` (how many ticks make a look), `trust.py` (which of them are evidence at all),
`tables.py` (the evidence in one look), `bets.py` (of all metrics), `clumps.py` (requests that queue
together count as fewer), `past.py` (what one expects of the next look), `comparison.py`, which
brings them together, and `verdict.py` (what it says).
"""

from trimtab_agents.canary.comparison import Comparison
from trimtab_agents.canary.reading import Histogram, Side
from trimtab_agents.canary.rules import Rules, Tolerance
from trimtab_agents.canary.verdict import Call, Effect, Reason, Verdict

__all__ = [
    "Call",
    "Comparison",
    "Effect",
    "Histogram",
    "Reason",
    "Rules",
    "Side",
    "Tolerance",
    "Verdict",
]
