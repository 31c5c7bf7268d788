"""What waits for a human, and what a human has granted.

An approval grants an envelope ("web/spot: up to 12 replicas until 15:00"), not a click per tick:
one change of one backend within bounds, under one policy and one set of limits. What is asked
again while it waits only widens the envelope, so that the queue stays short.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from trimtab_controller.journal import Journal
from trimtab_controller.mandate import Refusal, UnknownError
from trimtab_controller.records import pack, unpack
from trimtab_guard.model import Want
from trimtab_guard.modes import SAME_SHARE, Change


class Answer(StrEnum):
    """Where an envelope stands."""

    PENDING = "pending"
    GRANTED = "granted"
    REJECTED = "rejected"
    REVOKED = "revoked"
    EXPIRED = "expired"


DENIED = {Answer.REJECTED, Answer.REVOKED}


class Move(NamedTuple):
    """One change of one backend, from ``before`` to ``after``: replicas, or share of the route."""

    backend: str
    change: Change
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Envelope:
    """Permission for one kind of change to values from ``least`` to ``most``.

    ``terms`` names the policy and the limits that it was asked under; ``seen`` are the backend's
    replicas and share when it was asked.
    """

    id: str
    service: str
    backend: str
    change: Change
    least: float
    most: float
    seen: tuple[float, ...]
    terms: str
    expires_s: float
    why: str
    answer: Answer = Answer.PENDING
    who: str = ""

    def covers(self, move: Move) -> bool:
        """Whether ``move`` stays inside the bounds."""
        return self.least <= move.after <= self.most


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be changed: the fields as they are and as they should be, and the evidence.

    ``terms`` names the policy and the limits under which it was decided.
    """

    service: str
    now: tuple[Want, ...]
    then: tuple[Want, ...]
    terms: str
    why: str
    time_s: float


class Approvals:
    """All envelopes, rebuilt from the journal. Callers hold the board's lock."""

    def __init__(self, journal: Journal, wait_s: float, grant_s: float) -> None:
        self._journal = journal
        self._wait_s = wait_s
        self._grant_s = grant_s
        self._envelopes: dict[str, Envelope] = {}
        self._count = 0
        for entry in journal.entries(kinds=("envelope", "mode")):
            if entry.kind == "envelope":
                self._keep(unpack(Envelope, entry.body["envelope"]))
            elif "cooling_until_s" in entry.body:
                self.void(entry.body["service"])

    def pending(self, now_s: float) -> list[Envelope]:
        """What waits for an answer."""
        envelopes = self._envelopes.values()
        return [e for e in envelopes if e.answer is Answer.PENDING and now_s < e.expires_s]

    def granted(self, request: Request) -> tuple[Want, ...]:
        """The part of the wish that envelopes allow now; what none answers is asked for.

        The shares of a route only make sense together: they move when every one may.
        """
        allowed = {move for move in moves(request) if self._allows(request, move)}
        routes = {move for move in moves(request) if move.change is Change.ROUTE}
        if not routes <= allowed:
            allowed -= routes
        return tuple(_with(want, allowed) for want in request.now)

    def use(self, request: Request, move: Move) -> bool:
        """Whether a human has granted what is done once; a grant ends with it, or it is asked for.

        It ends in the journal before anything is done, so that it is never used twice.
        """
        if not self._allows(request, move):
            return False
        for envelope in list(self._about(request, move)):
            if envelope.answer is Answer.GRANTED:
                self._record(replace(envelope, answer=Answer.EXPIRED), request.time_s)
        return True

    def answer(
        self, envelope_id: str, answer: Answer, who: str, why: str, now_s: float
    ) -> Envelope:
        """Grant or reject what is pending; raises `UnknownError` or `Refusal`.

        What was rejected is not asked again for as long as a grant would hold.
        """
        envelope = self._waiting(envelope_id, now_s)
        answered = _signed(envelope, answer, who, why)
        return self._record(replace(answered, expires_s=now_s + self._grant_s), now_s)

    def standing(self, now_s: float) -> list[Envelope]:
        """What was granted and still holds."""
        envelopes = self._envelopes.values()
        return [e for e in envelopes if e.answer is Answer.GRANTED and now_s < e.expires_s]

    def revoke(self, envelope_id: str, who: str, why: str, now_s: float) -> Envelope:
        """Take back a grant; raises `UnknownError` or `Refusal`.

        Nor is it asked again before the grant would have ended.
        """
        envelope = self._living(envelope_id, now_s)
        if envelope.answer is not Answer.GRANTED:
            raise Refusal(f"envelope {envelope_id} is {envelope.answer}, not granted")
        return self._record(_signed(envelope, Answer.REVOKED, who, why), now_s)

    def service_of(self, envelope_id: str) -> str:
        """Whose an envelope is; empty when there is none. Needs no lock: that never changes."""
        envelope = self._envelopes.get(envelope_id)
        return envelope.service if envelope else ""

    def void(self, service: str) -> None:
        """Forget what was asked and granted on evidence from before a rollback of ``service``.

        The record of the rollback says so. What was denied stays denied.
        """
        self._envelopes = {
            name: envelope
            for name, envelope in self._envelopes.items()
            if envelope.service != service or envelope.answer in DENIED
        }

    def expire(self, now_s: float) -> None:
        """End what is past its time."""
        for envelope in list(self._envelopes.values()):
            if envelope.expires_s <= now_s:
                self._record(replace(envelope, answer=Answer.EXPIRED), now_s)

    def _allows(self, request: Request, move: Move) -> bool:
        """What the latest answer to such a move says; without one, it is asked for."""
        covering = [envelope for envelope in self._about(request, move) if envelope.covers(move)]
        answers = [envelope for envelope in covering if envelope.answer is not Answer.PENDING]
        if not answers:
            self._ask(request, move)
            return False
        # All answers hold equally long, so the one that ends last was given last.
        return max(answers, key=lambda answer: answer.expires_s).answer is Answer.GRANTED

    def _about(self, request: Request, move: Move) -> Iterator[Envelope]:
        asked = (request.service, move.backend, move.change, request.terms)
        for envelope in self._envelopes.values():
            about = (envelope.service, envelope.backend, envelope.change, envelope.terms)
            if about == asked:
                yield envelope

    def _ask(self, request: Request, move: Move) -> None:
        waiting = [e for e in self._about(request, move) if e.answer is Answer.PENDING]
        if not waiting:
            self._record(self._new(request, move), request.time_s)
        elif not waiting[0].covers(move):
            least, most = min(waiting[0].least, move.after), max(waiting[0].most, move.after)
            wider = replace(waiting[0], least=least, most=most, why=request.why)
            self._record(wider, request.time_s)

    def _new(self, request: Request, move: Move) -> Envelope:
        present = next(want for want in request.now if want.name == move.backend)
        return Envelope(
            id=str(self._count + 1),
            service=request.service,
            backend=move.backend,
            change=move.change,
            least=min(move.before, move.after),
            most=max(move.before, move.after),
            seen=(present.replicas, present.weight),
            terms=request.terms,
            expires_s=request.time_s + self._wait_s,
            why=request.why,
        )

    def _waiting(self, envelope_id: str, now_s: float) -> Envelope:
        envelope = self._living(envelope_id, now_s)
        if envelope.answer is not Answer.PENDING:
            raise Refusal(f"envelope {envelope_id} was {envelope.answer} by {envelope.who} already")
        return envelope

    def _living(self, envelope_id: str, now_s: float) -> Envelope:
        envelope = self._envelopes.get(envelope_id)
        if envelope is None and envelope_id not in map(str, range(1, self._count + 1)):
            raise UnknownError("envelope", envelope_id, "list what is pending")
        if envelope is None or envelope.expires_s <= now_s:
            raise Refusal(f"envelope {envelope_id} has expired: list what is pending now")
        return envelope

    def _record(self, envelope: Envelope, now_s: float) -> Envelope:
        self._journal.append("envelope", {"envelope": pack(envelope)}, now_s)
        self._keep(envelope)
        return envelope

    def _keep(self, envelope: Envelope) -> None:
        """One journalled envelope: the only place where the present changes."""
        self._count = max(self._count, int(envelope.id))
        if envelope.answer is Answer.EXPIRED:
            self._envelopes.pop(envelope.id, None)
        else:
            self._envelopes[envelope.id] = envelope


def _signed(envelope: Envelope, answer: Answer, who: str, why: str) -> Envelope:
    evidence = f"{envelope.why}; {who}: {why}" if why else envelope.why
    return replace(envelope, answer=answer, who=who, why=evidence)


def moves(request: Request) -> Iterator[Move]:
    """The single changes between the present and the wish."""
    wishes = {want.name: want for want in request.then}
    for now in request.now:
        then = wishes.get(now.name, now)
        if then.replicas != now.replicas:
            change = Change.SCALE_UP if then.replicas > now.replicas else Change.SCALE_DOWN
            yield Move(now.name, change, now.replicas, then.replicas)
        if abs(then.weight - now.weight) >= SAME_SHARE:
            yield Move(now.name, Change.ROUTE, now.weight, then.weight)


def _with(want: Want, allowed: Iterable[Move]) -> Want:
    for move in allowed:
        if move.backend == want.name:
            if move.change is Change.ROUTE:
                want = want._replace(weight=float(move.after))
            else:
                want = want._replace(replicas=int(move.after))
    return want
