"""What makes a proposal too broken to be judged.

A policy that gets the easy things wrong is not trusted with the hard ones: one flaw and the
whole proposal counts as not made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trimtab_guard.model import Proposal, Reason
from trimtab_guard.reasons import Code
from trimtab_guard.senses import LARGEST, SKEW_S, WHOLE_SHARE, countable, possible


def flaws(
    proposal: Proposal, backends: Iterable[str], newest_s: float, now_s: float
) -> Iterator[Reason]:
    """Why ``proposal`` is no proposal for exactly these ``backends``, made by ``now_s``.

    ``newest_s`` is the time of the newest one so far. The same one again is fine: a decision
    holds until the next.
    """
    for name, found, due in miscounted([want.name for want in proposal.backends], backends):
        yield Reason(Code.MISMATCH, name, found, due)
    for want in proposal.backends:
        if not countable(want.replicas):
            yield Reason(Code.BAD_VALUE, want.name, want.replicas, LARGEST)
        if not possible(want.weight, WHOLE_SHARE):
            yield Reason(Code.BAD_VALUE, want.name, want.weight, 1.0)
    if proposal.backends and not any(want.weight > 0 for want in proposal.backends):
        yield Reason(Code.BAD_VALUE, "", 0.0, 1.0)
    if not newest_s <= proposal.time_s:
        yield Reason(Code.OUT_OF_ORDER, "", proposal.time_s, newest_s)
    if not proposal.time_s <= now_s + SKEW_S:
        yield Reason(Code.OUT_OF_ORDER, "", proposal.time_s, now_s)


def miscounted(given: Iterable[str], due: Iterable[str]) -> Iterator[tuple[str, int, int]]:
    """(name, times given, times due) of every name that is missing, unknown or repeated."""
    found, expected = list(given), list(due)
    if found == expected:
        return
    for name in sorted({*found, *expected}):
        counts = found.count(name), expected.count(name)
        if counts[0] != counts[1]:
            yield name, *counts
