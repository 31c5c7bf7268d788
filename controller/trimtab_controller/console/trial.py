"""A new version on trial: how far it is, what was found, and the button that ends it."""

from __future__ import annotations

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.parts import Deliberate, Tag
from trimtab_controller.up.words import effect_words
from trimtab_proto.v1 import controller_pb2 as pb


class Trial:
    """The trial of the service ``name``; not there while there is none."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk = desk
        self._name = name
        with Tag("section", "trial", aria_label=f"trial of a version of {name}") as self._place:
            with Tag("div", "line"):
                Tag("h3", "", "Trial")
                self._what = Tag("span")
                question = "Press again: the old version gets the route back"
                self._end = Deliberate("End", question, self._ended, desk.clock)
            self._why = Tag("p", "quiet")
            self._found = Tag("p", "quiet")

    def draw(self) -> None:
        """Show how far it is."""
        feed = self._desk.feed
        trial = feed.services[self._name].trial
        self._place.show(trial)
        if trial is None:
            return
        share = f"{trial.share:.0%} of the route of both"
        self._what.say(f"{trial.new} beside {trial.old}: {trial.phase}, {share}.")
        self._why.say(
            f"Evidence: {trial.worse_share:.0%} of what worse takes, {trial.no_worse_share:.0%} of "
            f"what no worse takes; {trial.why}."
        )
        effects = ((each.metric, each.worse, each.low, each.high) for each in trial.effects)
        self._found.say("; ".join(effect_words(*each) for each in effects))
        self._end.draw()
        request = pb.EndCanaryRequest(service=self._name)
        self._end.allow(feed.away_since_s is None and self._desk.may("EndCanary", request))

    async def _ended(self) -> None:
        name = self._name
        await self._desk.act(
            lambda voice: voice.end_canary(name), lambda end: f"{name}: {end.why}."
        )
