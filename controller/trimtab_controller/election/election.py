"""The rules of an election by Lease, as client-go has them: pure, and safe with any clocks.

Nobody compares clocks. A follower waits for as long as a Lease says, by its own clock, from when
it last saw the Lease change; a leader stops earlier, by its own clock, counted from before it sent
the last renewal that arrived. The difference is what a write under way has time for. Wall-clock
times in a Lease are for people.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from trimtab_controller.election.spec import LeaseSpec


@dataclass(frozen=True, slots=True)
class Claim:
    """What a Lease says.

    An empty ``holder`` has let go of it; ``transitions`` counts the leaderships before this one;
    an empty ``version`` (resourceVersion) is that of a Lease which is not there yet.
    """

    holder: str
    duration_s: int
    transitions: int = 0
    acquired: str = ""
    renewed: str = ""
    version: str = ""


class Election:
    """One candidate's part in it. ``now_s`` is its own monotonic clock.

    `barred` may be asked by any thread; ``me`` is a name that no other process has.
    """

    def __init__(self, me: str, spec: LeaseSpec) -> None:
        self._me = me
        self._spec = spec
        self._seen: Claim | None = None
        self._changed_s = -math.inf
        # The leadership that we have, by its number; with it goes all that was begun under it.
        self._term: int | None = None
        self._until_s = -math.inf
        # Why our leadership is over for good; empty while it is not.
        self.lost = ""

    def barred(self, now_s: float) -> str:
        """Why nothing may be written now; empty while we lead."""
        if self.lost:
            return self.lost
        if self._term is None:
            return f"{_who(self._seen)} holds the {self._spec}"
        if not now_s < self._until_s:
            late_s = now_s - self._until_s + self._spec.renew_s
            return f"the {self._spec} could not be renewed for {late_s:.1f} s"
        return ""

    def see(self, claim: Claim | None, now_s: float) -> None:
        """Note what the Lease says, or that there is none; a leadership ends with its record."""
        if claim != self._seen:
            self._seen, self._changed_s = claim, now_s
        ours = (self._me, self._term)
        if claim and self._term is not None and (claim.holder, claim.transitions) != ours:
            self.lost = f"{_who(claim)} holds the {self._spec}, which was ours"

    def bid(self, now_s: float, stamp: str) -> Claim | None:
        """What to write to the Lease now, on the version that was seen; nothing while we wait.

        ``stamp`` is the time for people.
        """
        seen, duration_s = self._seen, self._spec.duration_s
        if self.lost or self.waits_s(now_s) > 0:
            return None
        if seen is None:
            return Claim(self._me, duration_s, self._term or 0, stamp, stamp)
        if seen.holder == self._me:
            return replace(seen, duration_s=duration_s, renewed=stamp)
        after = seen.transitions + 1
        return Claim(self._me, duration_s, after, stamp, stamp, seen.version)

    def waits_s(self, now_s: float) -> float:
        """For how long somebody else's Lease must still be left alone."""
        if self._seen is None or self._seen.holder in ("", self._me):
            return 0.0
        return max(0.0, self._changed_s + self._seen.duration_s - now_s)

    def won(self, claim: Claim, sent_s: float) -> None:
        """Our bid, sent at ``sent_s``, has become the Lease."""
        self._seen, self._changed_s = claim, sent_s
        self._term, self._until_s = claim.transitions, sent_s + self._spec.renew_s

    def resign(self, stamp: str) -> Claim | None:
        """End our leadership; returns what lets the next one in at once, if it was ours still."""
        held, self.lost = self._term is not None and not self.lost, self.lost or "resigned"
        if not held or self._seen is None:
            return None
        return replace(self._seen, holder="", duration_s=1, renewed=stamp)


def _who(claim: Claim | None) -> str:
    return (claim and claim.holder) or "nobody"
