"""The search: rounds of what is worth trying next, until more of it is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic, sleep

import grpc

from trimtab_agents.search import Search, Trying
from trimtab_controller.cli.connection import DEADLINE_S
from trimtab_controller.experimenter.score import Choice, chosen, score, told, variant
from trimtab_controller.experimenter.spec import REPLICAS, ExperimentSpec
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

POLL_S = 1.0
CROWDED_S = 10.0
# What fewer requests say of a variant is no reason to end it before the others.
ENOUGH = 0.3
# Copies that are fewer than that are not the load that was asked for.
TOO_FEW = 0.8
MEASURING, MEASURED = "measuring", "measured"


class EndedError(Exception):
    """A round ended before it was measured, or another one began; the message says why."""


@dataclass(slots=True)
class Hunt:
    """An experiment under way. ``tell`` shows a line to whoever waits for it."""

    spec: ExperimentSpec
    search: Search
    stub: controller_pb2_grpc.ControllerStub
    who: str
    tell: Callable[[str], None]
    clock: Callable[[], float] = monotonic
    wait: Callable[[float], None] = sleep
    _waiting: list[Trying] = field(default_factory=list)

    def run(self) -> str:
        """Try until it is enough, and say why it is; `EndedError`, and gRPC's errors."""
        until_s = self.clock() + 60.0 * self.spec.limits.minutes
        # What was asked for but had no room is still to be tried.
        while self._waiting or not (why := self.search.done(self.spec.trials)):
            if self.clock() > until_s:
                return f"{self.spec.limits.minutes:g} minutes are over (limits.minutes)"
            self._round(self._next())
        return why

    def _next(self) -> list[Trying]:
        """As many as may run at once."""
        left, spec = self.spec.limits.replicas, self.spec
        trials: list[Trying] = []
        while len(trials) < min(spec.together, spec.trials - len(self.search.tried)):
            if not self._waiting:
                if not self.search.left:
                    break
                self._waiting.append(self.search.ask())
            left -= round(float(self._waiting[0].choice[REPLICAS]))
            if left < 0:
                break
            trials.append(self._waiting.pop(0))
        return trials

    def _round(self, trials: Sequence[Trying]) -> None:
        names = {f"v{number}": trying for number, trying in enumerate(trials, start=1)}
        begun = self._begin(names)
        if begun is None:
            self._waiting = [*trials, *self._waiting]
            return
        lost: set[str] = set()
        over = begun
        try:
            for over in self._rounds(begun):
                self._end_losers(over, names, lost)
        except EndedError:  # what runs now is somebody else's
            raise
        except BaseException:
            self._give_back("the search was interrupted")
            raise
        if over.again:
            self.tell(f"  {over.why}: waiting")
            self._waiting = [*trials, *self._waiting]
        else:
            self._learn(over, names, lost)

    def _begin(self, names: dict[str, Trying]) -> pb.Round | None:
        """A round of these; ``None`` after a while in which there was no room for it."""
        spec = self.spec
        request = pb.StartRoundRequest(
            service=spec.service,
            backend=spec.backend,
            experiment=spec.name,
            variants=[variant(name, chosen(trying)) for name, trying in names.items()],
            rate_rps=spec.rate_rps,
            most_share=spec.limits.share,
            requests=spec.requests,
            seconds=spec.seconds,
            settle_s=spec.settle_s,
            safe_to_mirror=spec.safeToMirror,
            who=self.who,
        )
        try:
            begun: pb.Round = self.stub.StartRound(request, timeout=DEADLINE_S)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise
            self.tell(f"  waiting: {error.details()}")
            self.wait(CROWDED_S)
            return None
        return begun

    def _rounds(self, begun: pb.Round) -> Iterator[pb.Round]:
        """The round, whenever there is news of it, until it is over."""
        request, now = pb.ListRoundsRequest(service=self.spec.service), begun
        while not now.over:
            before = now
            self.wait(POLL_S)
            (now,) = self.stub.ListRounds(request, timeout=DEADLINE_S).rounds
            if now.number != begun.number:
                raise EndedError(f"another round of {now.service} has begun: {now.experiment}")
            if now != before:
                yield now

    def _end_losers(self, now: pb.Round, names: dict[str, Trying], lost: set[str]) -> None:
        for result in now.results:
            trying = names.get(result.name)
            if trying is None or now.over or result.name in lost:
                continue
            if result.crashed or self._is_losing(result, trying):
                lost.add(result.name)
                self._give_back("it is losing", (result.name,))

    def _is_losing(self, result: pb.VariantResult, trying: Trying) -> bool:
        enough = result.requests >= ENOUGH * self.spec.requests
        so_far = score(self.spec, chosen(trying), result)
        return enough and result.step == MEASURING and trying.losing(result.requests, so_far)

    def _give_back(self, why: str, variants: Sequence[str] = ()) -> None:
        with suppress(grpc.RpcError):  # the round may have ended meanwhile, as it does by itself
            self.stub.EndRound(
                pb.EndRoundRequest(
                    service=self.spec.service, who=self.who, why=why, variants=variants
                ),
                timeout=DEADLINE_S,
            )

    def _learn(self, over: pb.Round, names: dict[str, Trying], lost: set[str]) -> None:
        """Keep the scores of what was measured; `EndedError` when something was not."""
        _, *results = over.results
        known = [each for each in results if each.step == MEASURED or each.name in lost]
        rates = [each.requests / each.seconds for each in known if each.seconds]
        if rates and (reached := max(rates)) < TOO_FEW * self.spec.rate_rps:
            raise EndedError(
                f"variants got {reached:.0f} copies a second, not rate_rps, "
                f"{self.spec.rate_rps:g}: lower it, raise limits.share, or wait for more traffic"
            )
        for result in known:
            trying = names[result.name]
            found = score(self.spec, chosen(trying), result)
            self.search.tell(trying, found, stopped=result.name in lost)
            self.tell(f"  {_line(chosen(trying), found, result, result.name in lost)}")
        if len(known) < len(results):
            raise EndedError(over.why)
        self.tell(f"  {self.summary()}")

    def summary(self) -> str:
        """Best so far, what is left, and what more of it is worth."""
        best, saving = self.search.best, self.search.saving
        if best is None:
            return "nothing was measured to its end yet"
        gain = f"; one more is expected to save {saving:.1%}" if saving is not None else ""
        return (
            f"best so far {told(chosen(best))}, score {best.score:.2f}; "
            f"{len(self.search.tried)} tried, {self.search.left} left{gain}"
        )


def _line(choice: Choice, found: float, result: pb.VariantResult, lost: bool) -> str:
    p95 = f"p95 {result.p95_ms:.0f} ms" if math.isfinite(result.p95_ms) else "no answer"
    misses = result.misses / max(result.requests, 1)
    ended = ", ended early" if lost else ""
    return (
        f"{told(choice):48} score {found:6.2f}  cost {result.fleet:5.2f}  misses {misses:6.1%}  "
        f"{p95}{ended}"
    )
