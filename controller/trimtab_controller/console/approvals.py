"""What trimtab asks for, with what speaks for it, what a yes would grant, and how long it waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.glance import NO_DATA, left
from trimtab_controller.console.history import sample
from trimtab_controller.console.parts import Button, Deliberate, Tag
from trimtab_controller.console.voice import terms
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
    Change.RESTART: "Restart replicas",
}


class Queue:
    """Everything that waits, and everything that was granted and can be taken back."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._asked: dict[str, Asked | Granted] = {}
        self._granted: dict[str, Asked | Granted] = {}
        with Tag("section", "queue", aria_label="Approvals"):
            Tag("h2", "", "Approvals")
            self._meaning = Tag("p", "quiet")
            self._waiting = Tag("div", "list")
            self._standing = Tag("div")

    def draw(self, now_s: float) -> None:
        """Show what waits and what was granted now."""
        feed = self._desk.feed
        self._meaning.say(MEANING if feed.pending else "Nothing waits for an answer.")
        self._sort(self._asked, feed.pending, self._waiting, Asked, now_s)
        self._sort(self._granted, feed.granted, self._standing, Granted, now_s)

    def _sort(
        self,
        shown: dict[str, Asked | Granted],
        envelopes: Sequence[pb.Envelope],
        place: Tag,
        make: Callable[[Desk], Asked | Granted],
        now_s: float,
    ) -> None:
        """Take away what is over, and keep all others where they are."""
        for gone in shown.keys() - {envelope.id for envelope in envelopes}:
            shown.pop(gone).place.delete()
        for envelope in envelopes:
            if envelope.id not in shown:
                with place:
                    shown[envelope.id] = make(self._desk)
            shown[envelope.id].draw(envelope, now_s)


class Asked:
    """One thing that waits. When it asks for more it begins anew: it must be read before a yes."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._read: tuple[object, ...] = ()
        self.place = Tag("article", "ask")

    def draw(self, envelope: pb.Envelope, now_s: float) -> None:
        """Show it as it is now."""
        if terms(envelope) != self._read:
            self._read = terms(envelope)
            self.place.clear()
            with self.place:
                self._build(envelope)
        self._countdown.say(f"expires in {left(envelope.expires_s, now_s)}")
        self._why.say(envelope.why or "The policy gave no reason.")
        self._present.say(self._measured(envelope))
        self._draw_answers(envelope)

    def _build(self, envelope: pb.Envelope) -> None:
        with Tag("div", "line"):
            Tag("h3", "", headline(envelope))
            self._countdown = Tag("span", "countdown", role="timer")
        self._why = Tag("p")
        self._present = Tag("p", "quiet")
        with Tag("div", "line"):
            self._build_answers(envelope)

    def _build_answers(self, envelope: pb.Envelope) -> None:
        desk, name = self._desk, f"{envelope.service}/{envelope.backend}"

        async def approve() -> None:
            await desk.act(lambda voice: voice.approve(envelope), lambda _: f"Granted for {name}.")

        async def reject() -> None:
            await desk.act(
                lambda voice: voice.reject(envelope.id), lambda _: f"Rejected for {name}."
            )

        self._yes = Deliberate("Approve", f"Grant {bounds(envelope)}", approve, desk.clock, "main")
        self._no = Button("Reject", reject)
        if not desk.may("Approve", pb.ApproveRequest(id=envelope.id)):
            Tag("span", "quiet", "Answering needs an approver's token.")

    def _draw_answers(self, envelope: pb.Envelope) -> None:
        desk = self._desk
        reachable = desk.feed.away_since_s is None
        self._yes.draw()
        self._yes.allow(reachable and desk.may("Approve", pb.ApproveRequest(id=envelope.id)))
        self._no.allow(reachable and desk.may("Reject", pb.RejectRequest(id=envelope.id)))

    def _measured(self, envelope: pb.Envelope) -> str:
        """What speaks for it or against it at this moment."""
        seen = self._desk.feed.services.get(envelope.service)
        backends = seen.status.backends if seen else ()
        here = next((each for each in backends if each.name == envelope.backend), None)
        if seen is None or here is None:
            return f"Now: {NO_DATA}"
        now = sample(seen.status)
        return (
            f"Now: {here.name} has {here.ready} ready, {here.starting} starting, {here.wanted} "
            f"wanted, {here.weight * 100:.0f} % of the route; {envelope.service} gets "
            f"{NO_DATA if now.load_rps is None else rate(now.load_rps)}, "
            f"misses {NO_DATA if now.miss_share is None else percent(now.miss_share)}"
        )


class Granted:
    """One thing that was granted."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._id = ""
        self.place = Tag("div", "line granted")
        with self.place:
            self._what = Tag("span")
            self._countdown = Tag("span", "countdown", role="timer")
            self._back = Button("Take back", self._revoke)

    def draw(self, envelope: pb.Envelope, now_s: float) -> None:
        """Show it as it is now."""
        self._id = envelope.id
        self._what.say(f"Granted: {headline(envelope)}")
        self._countdown.say(f"ends in {left(envelope.expires_s, now_s)}")
        self._back.allow(self._desk.may("Revoke", pb.RevokeRequest(id=envelope.id)))

    async def _revoke(self) -> None:
        await self._desk.act(lambda voice: voice.revoke(self._id), lambda _: "Taken back.")


def headline(envelope: pb.Envelope) -> str:
    """What is to be done, with its bounds."""
    verb = VERBS.get(Change(envelope.change), envelope.change)
    return f"{verb}: {envelope.service}/{envelope.backend}, {bounds(envelope)}"


def bounds(envelope: pb.Envelope) -> str:
    """What an approval lets it be: ``4 to 9 replicas``."""
    if envelope.change == Change.ROUTE:
        low, high = envelope.min_weight * 100, envelope.max_weight * 100
        return f"{low:.0f} to {high:.0f} % of the route"
    if envelope.change == Change.RESTART:
        return f"all {envelope.max_replicas} one by one"
    return f"{envelope.min_replicas} to {envelope.max_replicas} replicas"
