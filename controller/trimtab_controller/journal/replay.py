"""What was recorded, judged once more: by today's guard, with the old limits or new ones.

Each tick is judged on what really happened before it, and not on what today's verdicts would
have led to: so a verdict that differs is one that was made differently.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import Any

from trimtab_controller.journal.chain import Entry, JournalError, Location, Snapshot, entry
from trimtab_controller.journal.checkpoint import entries
from trimtab_controller.journal.store import reading
from trimtab_controller.memory import (
    REMEMBERED,
    Memory,
    OutcomeRecord,
    TickRecord,
    refold,
    remembered_since_s,
)
from trimtab_controller.records import pack, unpack
from trimtab_guard.guard import judge
from trimtab_guard.history import History
from trimtab_guard.limits import LONGEST_WINDOW_S, AnyLimits, BackendLimits, ClusterLimits, Limits
from trimtab_guard.model import Verdict
from trimtab_guard.ration import Purse

LimitsByService = Mapping[str, Limits]


@dataclass(frozen=True, slots=True)
class Replayed:
    """One verdict: in the record ``seq``, on ``service``, as it was and as it would be now."""

    seq: int
    service: str
    before: Verdict
    after: Verdict

    @property
    def differs(self) -> bool:
        """Whether anything is different, reasons included."""
        return bool(pack(self.before) != pack(self.after))


def replay(
    location: Location,
    limits: LimitsByService | None = None,
    cluster: ClusterLimits | None = None,
) -> Iterator[Replayed]:
    """Every recorded verdict beside today's, in order.

    Where the beginning is elsewhere, the first hour is only remembered: what it rested on is gone.
    With ``limits``, by service, and ``cluster`` in the place of the recorded ones. `JournalError`
    when there is no journal, when it is damaged, or when the limits of a service are not known.
    """
    with reading(location) as snapshot:
        past = _Past(snapshot, limits, cluster)
        for record in entries(snapshot, kinds=("cluster", "limits", *REMEMBERED)):
            yield from past.after(record)


class _Past:
    """The limits and memories that the daemon had at some record."""

    def __init__(
        self, snapshot: Snapshot, given: LimitsByService | None, cluster: ClusterLimits | None
    ) -> None:
        self._snapshot = snapshot
        self._given = given
        self._cluster_given = cluster
        self._cluster = cluster or ClusterLimits()
        self._limits: dict[str, Limits] = dict(given or {})
        self._memories: dict[str, Memory] = {}
        self._last_tick_s: float | None = None
        self._whole_from_s = math.nan if snapshot.after.seq else -math.inf

    def after(self, record: Entry) -> Iterator[Replayed]:
        """Learn from a record; the verdicts in it, judged on what was known before."""
        if record.kind == "cluster":
            self._cluster = self._cluster_given or self._made(ClusterLimits, record)
        elif record.kind == "limits":
            self._learn_limits(record)
        elif record.kind == "outcome":
            outcome = unpack(OutcomeRecord, record.body["service"])
            self._memory(outcome.service).after_outcome(outcome)
        else:
            if math.isnan(self._whole_from_s):
                self._whole_from_s = record.time_s + LONGEST_WINDOW_S
            ticks = [unpack(TickRecord, packed) for packed in record.body["services"]]
            purse = self._purse(ticks)
            for tick in ticks:
                yield from self._tick(record.seq, tick, purse)
                purse = purse.after(*tick.begins)
            self._last_tick_s = record.time_s

    def _purse(self, ticks: Sequence[TickRecord]) -> Purse:
        """What was left for these services, like `Loop` counts it."""
        spent = chain.from_iterable(self._memory(tick.service).spent for tick in ticks)
        return Purse.counted(self._cluster, spent, ticks[0].time_s)

    def _tick(self, seq: int, tick: TickRecord, purse: Purse) -> Iterator[Replayed]:
        memory = self._memory(tick.service)
        is_whole = tick.time_s >= self._whole_from_s
        if is_whole and tick.verdict and tick.state and tick.proposal:
            now_s = tick.verdict.time_s
            limits = self._limits_at(seq, tick.service)
            seen = tick.proposal, tick.baseline, tick.state
            verdict = judge(*seen, limits, memory.history, now_s, purse)
            yield Replayed(seq, tick.service, tick.verdict, verdict)
        memory.after_tick(tick)

    def _memory(self, service: str) -> Memory:
        return self._memories.setdefault(service, Memory(History.empty(0.0)))

    def _limits_at(self, seq: int, service: str) -> Limits:
        if service in self._limits:
            return self._limits[service]
        given = self._given is not None
        lack = "are not in that configuration" if given else "were not recorded before it"
        raise JournalError(
            f"{self._snapshot.name}: record {seq}: the limits of {service} {lack}: give a "
            "configuration that has them (--config trimtab.yaml)"
        )

    def _learn_limits(self, record: Entry) -> None:
        service = record.body["limits"]["service"]
        if self._given is None:
            self._limits[service] = self._recorded(record)
        if record.body["recalled"]:
            # A daemon that starts knows only what it reads again, and so must we.
            since_s = remembered_since_s(self._last_tick_s)
            records = map(entry, self._snapshot.rows(kinds=REMEMBERED, since_s=since_s))
            before = takewhile(lambda other: other.seq < record.seq, records)
            self._memories |= refold(before, [service]).memories

    def _recorded(self, record: Entry) -> Limits:
        recorded = record.body["limits"]["backends"]
        backends = tuple(BackendLimits(**backend) for backend in recorded)
        return self._made(Limits, record, backends=backends)

    def _made(self, kind: type[AnyLimits], record: Entry, **parts: Any) -> AnyLimits:
        try:
            return kind(**{**record.body["limits"], **parts})
        except (TypeError, ValueError) as error:
            raise JournalError(
                f"{self._snapshot.name}: record {record.seq}: its limits are none for this "
                f"trimtab ({error}): give a configuration (--config trimtab.yaml)"
            ) from error
