"""How far an answer may be followed, in the reply's words, and what is held back for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from trimtab_controller.recommend.report import Report
from trimtab_guard.history import History
from trimtab_guard.limits import Limits
from trimtab_guard.model import Reason, State, Verdict, Want
from trimtab_guard.reasons import Code
from trimtab_guard.senses import doubts
from trimtab_proto.v1 import controller_pb2 as pb

NO_HISTORY = "no scale-down before a full window has been reported"
# The one reason that is not the guard's.
ESTIMATED = "ESTIMATED"
# With these the plain rule has the word, upward only.
BROKEN = {Code.MISMATCH, Code.BAD_VALUE, Code.OUT_OF_ORDER, Code.EXPIRED, Code.ENVELOPE}


@dataclass(frozen=True, slots=True)
class Caution:
    """What an answer to ``report`` lacks: signals that are ``in_doubt``, or memory.

    ``memory_s`` of the ``window_s`` that a scale-down takes are remembered.
    """

    report: Report
    in_doubt: tuple[str, ...]
    memory_s: float
    window_s: float

    @classmethod
    def about(cls, report: Report, history: History, limits: Limits, now_s: float) -> Caution:
        """``history`` has learned from the report."""
        doubted = doubts(report.state, history.senses, limits, now_s)
        dark = (time_s for time_s, dark_s in history.dark_s.points if dark_s > limits.memory_gap_s)
        memory_s = min(now_s - max(dark, default=0.0), limits.hold_s)
        return cls(report, tuple(doubt.signal for doubt in doubted), memory_s, limits.hold_s)

    def trust(self, verdict: Verdict) -> pb.Trust:
        """A value of the enum ``Trust``."""
        if not verdict.backends:
            return pb.TRUST_NONE
        if self.in_doubt:
            return pb.TRUST_HOLD
        broken = any(reason.code in BROKEN for reason in verdict.reasons)
        upward = broken or self.report.estimated or self.memory_s < self.window_s
        return pb.TRUST_UP if upward else pb.TRUST_FULL

    def told(self) -> Iterator[str]:
        """The same for a human."""
        if self.in_doubt:
            yield f"held, not to be believed or too old: {', '.join(self.in_doubt)}"
        if self.report.estimated:
            yield f"estimated, so nothing is taken away: {', '.join(self.report.estimated)}"
        if self.memory_s < self.window_s:
            yield f"{NO_HISTORY}: {self.memory_s:.0f} of {self.window_s:g} s"

    def applied(self, verdict: Verdict) -> Verdict:
        """The verdict, without what only an estimate would take away."""
        return _upward(verdict, self.report.state) if self.report.estimated else verdict


def _upward(verdict: Verdict, state: State) -> Verdict:
    """The verdict where it adds; the route as it is."""
    present = {backend.name: backend for backend in state.backends}
    wants = tuple(
        Want(want.name, max(want.replicas, there.wanted), there.weight)
        for want in verdict.backends
        for there in (present[want.name],)
    )
    kept = tuple(
        Reason(ESTIMATED, want.name, want.replicas, more.replicas)
        for want, more in zip(verdict.backends, wants, strict=True)
        if want.replicas < more.replicas
    )
    return Verdict(verdict.service, verdict.time_s, wants, (*verdict.reasons, *kept))
