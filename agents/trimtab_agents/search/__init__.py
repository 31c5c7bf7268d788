"""The next choice to try: few trials of something expensive, out of many choices.

    search = Search.open(Space({"threads": Dial((1, 2, 4, 8))}), "web", "runs/web.sqlite", seed=0)
    while not search.done(trials=20):
        trial = search.ask()
        search.tell(trial, measure(trial.choice))
    search.best

Read `space.py` (what can be chosen), `belief.py` (what a few trials say of the rest), `sampler.py`
(what to try next), then `search.py`.
"""

from trimtab_agents.search.search import Search, SearchError, Tried, Trying
from trimtab_agents.search.space import Choice, Dial, Space, SpaceError

__all__ = ["Choice", "Dial", "Search", "SearchError", "Space", "SpaceError", "Tried", "Trying"]
