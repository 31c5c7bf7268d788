"""Did the last writes make things worse? The guard's test, fed with what the sensors saw.

What is expected to miss without a write is what missed in the recent past before it, or what
queueing theory expects of this load under the fields as they were before: who would have been
overloaded anyway has no write to blame. Harm that comes in small steps is measured from before
the first of them, or each would excuse the next. The evidence is the fold of what the journal's
ticks saw, so that a restart neither forgets it nor counts it twice.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping

from trimtab_controller.protocols import Intent
from trimtab_guard.limits import Limits
from trimtab_guard.model import BackendState, State, Want
from trimtab_guard.series import Peaks
from trimtab_guard.verification import Sample, Verification
from trimtab_sim.profile import Profile


class Verifier:
    """Watches one service after its writes, but for those made before ``cooling_until_s``.

    A rollback has undone them, or a human wanted them in spite of it: there is no second one.
    """

    def __init__(self, profile: Profile, cooling_until_s: float = 0.0) -> None:
        self._profile = profile
        self._seen = Verification()
        self._cooling_until_s = cooling_until_s
        self._usual = math.nan
        # What was usual before each write under watch.
        self._calm: deque[float] = deque()
        self._usual_rps = math.nan
        self._time_s = 0.0
        self._overload = Peaks()

    def recall(self, past: Iterable[State], applied: Iterable[Intent], limits: Limits) -> None:
        """See again what was seen and written before a restart, both oldest first."""
        writes = deque(applied)
        for state in past:
            self.look(state, limits, state.time_s)
            while writes and writes[0].time_s <= state.time_s:
                self.watch(writes.popleft())

    def watch(self, intent: Intent) -> None:
        """Watch a write that arrived."""
        if intent.time_s >= self._cooling_until_s:
            self._seen = self._seen.with_action(intent.time_s, intent.before)
            self._calm.append(self._usual)

    def forget(self) -> None:
        """Watch nothing any more: somebody else has written."""
        if self._seen.watches:
            self._seen = self._seen._replace(watches=())

    def look(self, state: State, limits: Limits, now_s: float) -> bool:
        """Weigh what was seen now: whether some write has made things worse."""
        while len(self._calm) > len(self._seen.watches):
            self._calm.popleft()
        sample = self._sample(state, limits)
        if not self._seen.watches:
            return False
        if sample:
            self._seen = self._seen.with_sample(sample, limits, now_s)
        return self._seen.regression(limits) is not None

    def cool_down(self, until_s: float) -> None:
        """Watch nothing of what is written before then."""
        self.forget()
        self._cooling_until_s = until_s

    def _sample(self, state: State, limits: Limits) -> Sample | None:
        """The requests since the last sample, where something is watched and there is a past."""
        share, time_s = state.miss_share
        rate_rps = sum([backend.rate_rps.value for backend in state.backends])
        calm = self._calm[0] if self._calm else self._usual
        overloaded = self._overloaded(state, rate_rps, limits)
        span_s, expected = time_s - self._time_s, max(calm, overloaded)
        if not (math.isfinite(share + rate_rps) and span_s > 0.0):
            return None
        self._time_s = time_s
        is_first = math.isnan(self._usual)
        self._usual = _glided(self._usual, share, -math.expm1(-span_s / limits.verify_s))
        if is_first or not self._seen.watches:
            return None
        requests = rate_rps * span_s
        return Sample(time_s, requests, min(share, 1.0) * requests, min(expected, 1.0))

    def _overloaded(self, state: State, load_rps: float, limits: Limits) -> float:
        """Misses expected without the watched writes, at the highest load that still waits.

        Also while none is watched: what piled up just before a write is not its fault. Load
        beyond the usual counts as coming at once, as it does when something on the way stalls.
        """
        if math.isfinite(load_rps):
            burst = max(0.0, load_rps - self._usual_rps) * limits.interval_s
            watches = self._seen.watches
            befores = [{want.name: want for want in watch.before} for watch in watches] or [{}]
            now = max([self._expected(state, before, load_rps, burst) for before in befores])
            self._overload = self._overload.with_value(state.time_s, now)
            part = -math.expm1(-limits.interval_s / limits.verify_s)
            self._usual_rps = _glided(self._usual_rps, load_rps, part)
        return self._overload.highest(state.time_s - self._profile.timeout_s)

    def _expected(
        self, state: State, before: Mapping[str, Want], load_rps: float, burst: float
    ) -> float:
        """P(a request waits longer than the SLO allows) with M/M/n queues under ``before``.

        What it does not name is as it is now. They have that long to serve a ``burst`` of requests
        beside a steady load. An upper bound, as if every request had to wait: exact where it
        matters, at full load.
        """
        missed = 0.0
        for backend, profile in zip(state.backends, self._profile.backends, strict=True):
            want = before.get(backend.name)
            weight = want.weight if want else backend.weight
            capacity_rps = _served_by(backend, want) * profile.concurrency / profile.service_time_s
            patience_s = max(0.0, self._profile.slo_latency_s - profile.service_time_s)
            spare = (capacity_rps - weight * load_rps) * patience_s - weight * burst
            missed += weight * math.exp(-max(0.0, spare))
        return missed


def _glided(usual: float, now: float, part: float) -> float:
    """``usual`` after part of the way to ``now``; all of it the first time."""
    return now if math.isnan(usual) else usual + (now - usual) * part


def _served_by(backend: BackendState, before: Want | None) -> int:
    """How many replicas would serve now without a write: those it let go are counted as there."""
    return before.replicas if before and before.replicas > backend.wanted else backend.ready
