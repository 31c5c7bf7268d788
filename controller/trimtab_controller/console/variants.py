"""Variants on copies of the traffic: how they do beside what is live, and what ends them."""

from __future__ import annotations

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.parts import Deliberate, Tag
from trimtab_controller.up.words import variant_words
from trimtab_proto.v1 import controller_pb2 as pb


class Variants:
    """The round of the service ``name``; not there while none runs."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk = desk
        self._name = name
        with Tag("section", "trial", aria_label=f"variants of {name}") as self._place:
            with Tag("div", "line"):
                Tag("h3", "", "Variants")
                self._what = Tag("span")
                question = "Press again: the copies end, and the variants go"
                self._end = Deliberate("End", question, self._ended, desk.clock)
            self._found = Tag("p", "quiet")

    def draw(self) -> None:
        """Show how far they are."""
        feed = self._desk.feed
        round_ = feed.services[self._name].round
        self._place.show(round_)
        if round_ is None:
            return
        self._what.say(
            f"{round_.experiment}: variants of {round_.backend} get copies of {round_.share:.0%} "
            "of the requests; nobody gets their answers."
        )
        variants = {each.name: each for each in round_.variants}
        self._found.say(
            "; ".join(variant_words(each, variants.get(each.name)) for each in round_.results)
        )
        self._end.draw()
        request = pb.EndRoundRequest(service=self._name)
        self._end.allow(feed.away_since_s is None and self._desk.may("EndRound", request))

    async def _ended(self) -> None:
        name = self._name
        await self._desk.act(lambda voice: voice.end_round(name), lambda end: f"{name}: {end.why}.")
