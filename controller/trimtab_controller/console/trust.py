"""How far a service is trusted, and the two deliberate actions that change it."""

from __future__ import annotations

from functools import partial

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.glance import left
from trimtab_controller.console.parts import Button, Deliberate, Tag
from trimtab_controller.up.words import clock_time, mode_name
from trimtab_guard.modes import RUNGS, Mode
from trimtab_proto.v1 import controller_pb2 as pb

MEANINGS = {
    Mode.SHADOW: "it only recommends",
    Mode.APPROVE: "it asks for each change",
    Mode.ASSIST: "it may add capacity, and asks for the rest",
    Mode.GUARDED: "it acts both ways and on the route, within the limits",
}


class Trust:
    """The rungs of the service ``name``, the one it stands on, and its lease."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk = desk
        self._name = name
        self._rungs: dict[Mode, Deliberate] = {}
        self._here: dict[Mode, Tag] = {}
        with Tag("section", "ladder", aria_label=f"how far {name} is trusted"):
            with Tag("div", "line"):
                Tag("h3", "", "Trust")
                self._meaning = Tag("span")
            self._lowered = Tag("p", "lowered")
            with Tag("div", "rungs"):
                for mode in RUNGS:
                    self._here[mode] = Tag("strong", "here", mode, aria_current="step")
                    self._rungs[mode] = self._rung(mode)
            with Tag("div", "line"):
                self._lease = Tag("span", "quiet")
                self._renew = Button("Renew", self._renewed)

    def draw(self, now_s: float) -> None:
        """Show the rung that holds now."""
        seen = self._desk.feed.services[self._name]
        status, reachable = seen.status, self._desk.feed.away_since_s is None
        stands = Mode(mode_name(status.mode))
        ceiling = mode_name(seen.limits.ceiling) if seen.limits else Mode.SHADOW
        highest = RUNGS.index(Mode(ceiling))
        self._meaning.say(f"{stands}: {MEANINGS[stands]}.")
        self._lowered.say(f"Lowered: {status.lowered}.")
        self._lowered.show(status.lowered and not status.stopped)
        for mode, rung in self._rungs.items():
            rung.draw()
            self._here[mode].show(mode is stands)
            rung.place.show(mode is not stands)
            settable = not status.stopped and RUNGS.index(mode) <= highest
            rung.allow(reachable and settable and self._may_set(mode))
        self._draw_lease(status, now_s, reachable)

    def _draw_lease(self, status: pb.ServiceStatus, now_s: float, reachable: bool) -> None:
        leased = status.mode > pb.MODE_APPROVE
        until = (
            f"until {clock_time(status.lease_until_s)}, {left(status.lease_until_s, now_s)} left"
        )
        self._lease.say(f"It may act without asking {until}; then it asks for everything.")
        self._lease.show(leased)
        self._renew.show(leased)
        may = self._desk.may("Renew", pb.RenewRequest(service=self._name))
        self._renew.allow(reachable and may)

    def _rung(self, mode: Mode) -> Deliberate:
        act = partial(self._set, mode)
        question = f"Press again: {self._name} to {mode}, {MEANINGS[mode]}"
        return Deliberate(mode, question, act, self._desk.clock)

    def _may_set(self, mode: Mode) -> bool:
        request = pb.SetModeRequest(service=self._name, mode=f"MODE_{mode.name}")
        return self._desk.may("SetMode", request)

    async def _set(self, mode: Mode) -> None:
        name = self._name
        await self._desk.act(
            lambda voice: voice.set_mode(name, mode),
            lambda reply: f"{name} was set to {mode}, and is in {mode_name(reply.mode)} now.",
        )

    async def _renewed(self) -> None:
        name = self._name
        await self._desk.act(
            lambda voice: voice.renew(name), lambda _: f"The lease of {name} begins anew."
        )
