"""WhatChanged: when misses rose, and what changed just before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isfinite, nan

from trimtab_controller.explain.decisions import between
from trimtab_controller.explain.rise import Rise, rise
from trimtab_controller.explain.suspects import Inquiry, Suspect
from trimtab_controller.journal import Journal
from trimtab_controller.protocols import Clock
from trimtab_controller.recommend.subject import Subject
from trimtab_controller.refusals import InvalidRequest
from trimtab_controller.up.words import clock_time, percent
from trimtab_guard.schedule import LAST_S
from trimtab_proto.v1 import controller_pb2 as pb

LOOK_S = 1800.0
# Acts of authority, and how each is told; those about another service are left out.
ACTS = {
    "mode": "{who} set it to {mode}: {why}",
    "writer": "{writer} wrote to it",
    "stop": "{who} stopped all writes: {why}",
    "resume": "{who} resumed",
    "abort": "{who} undid the last minute: {why}",
    "drill": "drill: {event}",
    "round": "{event}",
    "reload": "{file} was read anew: {error}",
}


class Changes:
    """Answers from the journal alone."""

    def __init__(self, journal: Journal, subjects: Mapping[str, Subject], clock: Clock) -> None:
        self._journal = journal
        self._subjects = subjects
        self._clock = clock

    def what_changed(self, request: pb.WhatChangedRequest) -> pb.WhatChangedReply:
        """Look where the request says; raises `JournalError` or `InvalidRequest`."""
        service = request.service
        until_s = _moment(request, "until_s") or self._clock()
        since_s = _moment(request, "since_s") or until_s - LOOK_S
        profile = self._subjects[service].profile
        ticks = [each.tick for each in between(self._journal, service, since_s, until_s)]
        allowed = 1.0 - profile.slo_share
        found = rise([tick.state for tick in ticks if tick.state], allowed)
        if found is None:
            return pb.WhatChangedReply(
                service=service,
                words=_calm(len(ticks), since_s, allowed),
                since_s=since_s,
                until_s=until_s,
                before=nan,
                miss_share=nan,
                allowed=allowed,
            )
        suspects = Inquiry(ticks, found, profile).suspects()
        return pb.WhatChangedReply(
            service=service,
            risen=True,
            words=_told(found, suspects, allowed),
            since_s=found.since_s,
            until_s=found.until_s,
            before=found.before,
            miss_share=found.share,
            allowed=allowed,
            suspects=map(_suspect, suspects),
            also=self._acts(service, since_s, found.until_s),
        )

    def _acts(self, service: str, since_s: float, until_s: float) -> Iterator[str]:
        for entry in self._journal.entries(kinds=tuple(ACTS), since_s=since_s):
            if entry.time_s <= until_s and entry.body.get("service", service) == service:
                told = ACTS[entry.kind].format_map(entry.body).removesuffix(": ")
                yield f"{clock_time(entry.time_s)} {told}"


def _moment(request: pb.WhatChangedRequest, field: str) -> float:
    """A time that has a date; `InvalidRequest` for any other."""
    time_s: float = getattr(request, field)
    if not 0.0 <= time_s <= LAST_S:
        raise InvalidRequest(field, f"must be seconds since the epoch, and is {time_s!r}")
    return time_s


def _calm(ticks: int, since_s: float, allowed: float) -> str:
    if not ticks:
        return f"nothing is known since {clock_time(since_s)}: the journal has no tick of it"
    return f"misses have not risen since {clock_time(since_s)}: {percent(allowed)} are allowed"


def _told(found: Rise, suspects: list[Suspect], allowed: float) -> str:
    before = percent(found.before) if isfinite(found.before) else "unknown before"
    rose = (
        f"misses rose at {clock_time(found.since_s)} from {before} to {percent(found.share)}, "
        f"{percent(allowed)} allowed"
    )
    blamed = [suspect for suspect in suspects if suspect.weight > 0.0]
    return (
        f"{rose}; {blamed[0].words}" if blamed else f"{rose}; nothing that is known changed before"
    )


def _suspect(suspect: Suspect) -> pb.Suspect:
    return pb.Suspect(
        kind=suspect.kind,
        time_s=suspect.time_s,
        words=suspect.words,
        effect=suspect.effect,
        weight=suspect.weight,
    )
