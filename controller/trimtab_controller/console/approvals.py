"""What trimtab asks for, with what speaks for it, what a yes would grant, and how long it waits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.glance import NO_DATA, left
from trimtab_controller.console.history import measured, sample
from trimtab_controller.console.parts import Button, Deliberate, Tag
from trimtab_controller.up.words import percent, rate
from trimtab_guard.modes import Change
from trimtab_proto.v1 import controller_pb2 as pb

MEANING = (
    "A grant lets trimtab do the one thing that is named, between the bounds that are named and "
    "within the guard's limits, until it ends or you take it back. No answer, no change."
)
VERBS = {
    Change.SCALE_UP: "Add replicas",
    Change.SCALE_DOWN: "Remove replicas",
    Change.ROUTE: "Move the route",
}


class Queue:
    """Everything that waits, and everything that was granted and can be taken back."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._shown: object = None
        self._each: list[Callable[[float], None]] = []
        with Tag("section", "queue", aria_label="Approvals"):
            Tag("h2", "", "Approvals")
            self._meaning = Tag("p", "quiet")
            self._list = Tag("div", "list")

    def draw(self, now_s: float) -> None:
        """Show what waits now; an envelope that has changed must be read again before a yes."""
        feed = self._desk.feed
        shown = [each.SerializeToString() for each in (*feed.pending, *feed.granted)]
        key = (shown, len(feed.pending), feed.away_since_s is None)
        if key != self._shown:
            self._shown, self._each = key, []
            self._list.clear()
            with self._list:
                self._build()
        self._meaning.say(MEANING if feed.pending else "Nothing waits for an answer.")
        for draw in self._each:
            draw(now_s)

    def _build(self) -> None:
        feed = self._desk.feed
        for envelope in feed.pending:
            self._asked(envelope)
        for envelope in feed.granted:
            self._granted(envelope)

    def _asked(self, envelope: pb.Envelope) -> None:
        with Tag("article", "ask"):
            with Tag("div", "line"):
                Tag("h3", "", headline(envelope))
                self._countdown("expires in {}", "expired", envelope.expires_s)
            Tag("p", "", envelope.why or "The policy gave no reason.")
            self._evidence(envelope.service, envelope.backend)
            with Tag("div", "line"):
                self._answers(envelope)

    def _answers(self, envelope: pb.Envelope) -> None:
        desk, name = self._desk, f"{envelope.service}/{envelope.backend}"

        async def approve() -> None:
            await desk.act(lambda voice: voice.approve(envelope), f"Granted for {name}.")

        async def reject() -> None:
            await desk.act(lambda voice: voice.reject(envelope.id), f"Rejected for {name}.")

        yes = Deliberate("Approve", f"Grant {bounds(envelope)}", approve, desk.clock, "main")
        no = Button("Reject", reject)
        reachable = desk.feed.away_since_s is None
        yes.allow(reachable and desk.may("Approve", pb.ApproveRequest(id=envelope.id)))
        no.allow(reachable and desk.may("Reject", pb.RejectRequest(id=envelope.id)))
        if not desk.may("Approve", pb.ApproveRequest(id=envelope.id)):
            Tag("span", "quiet", "Answering needs an approver's token.")
        self._each.append(lambda _now_s: yes.draw())

    def _granted(self, envelope: pb.Envelope) -> None:
        desk = self._desk

        async def revoke() -> None:
            await desk.act(lambda voice: voice.revoke(envelope.id), "Taken back.")

        with Tag("div", "line granted"):
            Tag("span", "", f"Granted: {headline(envelope)}")
            self._countdown("ends in {}", "ended", envelope.expires_s)
            back = Button("Take back", revoke)
            back.allow(desk.may("Revoke", pb.RevokeRequest(id=envelope.id)))

    def _evidence(self, service: str, backend: str) -> None:
        spot = Tag("p", "quiet")
        self._each.append(lambda _now_s: spot.say(self._present(service, backend)))

    def _present(self, service: str, backend: str) -> str:
        """What is measured of it at this moment."""
        seen = self._desk.feed.services.get(service)
        if seen is None or not seen.status.backends:
            return f"Now: {NO_DATA}"
        here = next((b for b in seen.status.backends if b.name == backend), pb.BackendStatus())
        load, misses = sample(seen.status).load_rps, measured(seen.status.miss_share)
        return (
            f"Now: {backend} has {here.ready} ready, {here.starting} starting, {here.wanted} "
            f"wanted, {here.weight * 100:.0f} % of the route; {service} gets "
            f"{NO_DATA if load is None else rate(load)}, "
            f"misses {NO_DATA if misses is None else percent(misses)}"
        )

    def _countdown(self, text: str, over: str, until_s: float) -> None:
        spot = Tag("span", "countdown", role="timer")
        self._each.append(partial(_count, spot, text, over, until_s))


def _count(spot: Tag, text: str, over: str, until_s: float, now_s: float) -> None:
    spot.say(text.format(left(until_s, now_s)) if now_s < until_s else over)


def headline(envelope: pb.Envelope) -> str:
    """What is to be done, with its bounds."""
    verb = VERBS.get(Change(envelope.change), envelope.change)
    return f"{verb}: {envelope.service}/{envelope.backend}, {bounds(envelope)}"


def bounds(envelope: pb.Envelope) -> str:
    """What an approval lets it be: ``4 to 9 replicas``."""
    if envelope.change == Change.ROUTE:
        low, high = envelope.min_weight * 100, envelope.max_weight * 100
        return f"{low:.0f} to {high:.0f} % of the route"
    return f"{envelope.min_replicas} to {envelope.max_replicas} replicas"
