"""What an experiment found, and how to try it: a table, and the commands of a canary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from trimtab_agents.search import Search
from trimtab_controller.experimenter.score import chosen, told
from trimtab_controller.experimenter.spec import REPLICAS, ExperimentSpec

SHOWN = 10
# What the replicas of the local stage can be set to.
STAGED = ("threads", "queue", "cache", "batch", "linger_ms")


def report(spec: ExperimentSpec, search: Search, others: Sequence[str]) -> Iterator[str]:
    """Lines: the best that was tried, what is set now, and what to do with the winner.

    ``others`` are backends that could run the winner beside the one that was tuned.
    """
    names = list(spec.choices)
    yield "  ".join(f"{name:>9}" for name in (*names, "score"))
    ranked = sorted(search.tried, key=lambda tried: tried.score)
    for place, tried in enumerate(ranked):
        is_now = tried.choice == spec.now
        if place >= SHOWN and not is_now:
            continue
        values = "  ".join(f"{tried.choice[name]:9g}" for name in names)
        notes = ["ended early"] * tried.stopped + ["as it is now"] * is_now
        yield f"{values}  {tried.score:9.2f}" + (f"  {', '.join(notes)}" if notes else "")
    if (best := search.best) is None:
        return
    if best.choice == spec.now:
        yield "nothing that was tried is better than what is set now"
        return
    changed = {n: v for n, v in chosen(best).items() if v != spec.now[n] and n != REPLICAS}
    if not changed:
        yield f"better than now is {best.choice[REPLICAS]:g} replicas, set as they are"
        return
    yield f"to try {told(changed)} on live traffic, with a way back:"
    other = others[0] if others else "BACKEND"
    if changed.keys() <= {*STAGED}:
        settings = " ".join(f"--set {name}={value:g}" for name, value in changed.items())
        yield f"  trimtab stage roll {other} {settings}"
    else:
        yield f"  set it in the pods of {other}, and roll that out"
    yield f"  trimtab canary start {spec.service} --old {spec.backend} --new {other}"
