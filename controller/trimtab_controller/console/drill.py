"""What is being broken on purpose: how far it is, what it cost, and the button that ends it."""

from __future__ import annotations

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.parts import Deliberate, Tag
from trimtab_proto.v1 import controller_pb2 as pb


class Drill:
    """The drill of the service ``name``; not there while none runs."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk = desk
        self._name = name
        with Tag("section", "trial", aria_label=f"drill on {name}") as self._place:
            with Tag("div", "line"):
                Tag("h3", "", "Drill")
                self._what = Tag("span")
                question = "Press again: everything broken is undone now"
                self._end = Deliberate("End", question, self._ended, desk.clock)
            self._cost = Tag("p", "quiet")

    def draw(self) -> None:
        """Show how far it is."""
        feed = self._desk.feed
        drill = feed.services[self._name].drill
        self._place.show(drill)
        if drill is None:
            return
        broken = "; ".join(drill.in_force) or drill.why
        self._what.say(f"{drill.drill}, begun by {drill.who}: {broken}.")
        cost = f"Misses worth {drill.missed_s:.1f} s of a full outage"
        self._cost.say(f"{cost}; it ends above {drill.budget_s:g} s.")
        self._end.draw()
        request = pb.EndDrillRequest(service=self._name)
        self._end.allow(feed.away_since_s is None and self._desk.may("EndDrill", request))

    async def _ended(self) -> None:
        name = self._name
        await self._desk.act(lambda voice: voice.end_drill(name), lambda end: f"{name}: {end.why}.")
