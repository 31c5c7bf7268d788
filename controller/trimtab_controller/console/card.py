"""One service: what it carries, what it has, where it is going, and how far trimtab may go."""

from __future__ import annotations

from trimtab_controller.console.chart import Chart, Series
from trimtab_controller.console.desk import Desk
from trimtab_controller.console.drill import Drill
from trimtab_controller.console.glance import NO_DATA, allowed_misses
from trimtab_controller.console.history import sample
from trimtab_controller.console.inquiry import Answer, what_changed
from trimtab_controller.console.limits import Limits
from trimtab_controller.console.overview import show_mode
from trimtab_controller.console.parts import Button, Tag
from trimtab_controller.console.trial import Trial
from trimtab_controller.console.trust import Trust
from trimtab_controller.console.variants import Variants
from trimtab_controller.up.words import change, percent, rate, reasons
from trimtab_proto.v1 import controller_pb2 as pb

COLUMNS = ("backend", "ready", "starting", "wanted", "route")


class Card:
    """Everything about the service ``name``."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk = desk
        self._name = name
        self._rows: list[list[Tag]] = []
        with Tag("article", "card", id=f"service-{name}", aria_label=f"service {name}"):
            with Tag("div", "line"):
                Tag("h2", "", name)
                self._mode = Tag("span", "mode")
                self._policy = Tag("span", "quiet")
            with Tag("div", "halves"):
                self._figures()
                self._table = Tag("table")
            self._charts()
            with Tag("div"):
                with Tag("div", "line"):
                    self._now = Tag("strong")
                    Button("What changed?", self._ask, "plain")
                self._why = Tag("p", "quiet")
                self._answer = Answer(f"what changed around {name}")
            self._trial = Trial(desk, name)
            self._variants = Variants(desk, name)
            self._drill = Drill(desk, name)
            self._trust = Trust(desk, name)
            self._limits = Limits(desk, name)

    def draw(self, now_s: float) -> None:
        """Show what is known now."""
        seen = self._desk.feed.services[self._name]
        status = seen.status
        show_mode(self._mode, status)
        self._policy.say(f"policy {status.policy}")
        self._draw_figures(status)
        self._draw_table(status)
        if seen.limits:
            self._misses.limit(allowed_misses(seen.limits.slo.share))
        for chart in (self._load, self._replicas, self._misses):
            chart.draw(seen.history, now_s)
        self._draw_decision(status)
        self._trial.draw()
        self._variants.draw()
        self._drill.draw()
        self._trust.draw(now_s)
        self._limits.draw()

    async def _ask(self) -> None:
        await what_changed(self._desk, self._answer, self._name)

    def _figures(self) -> None:
        with Tag("dl", "figures"):
            self._load_now = Figure("Load")
            self._latency = Figure("95 % answered within")
            self._misses_now = Figure("Misses")
            self._ready = Figure("Replicas ready")

    def _draw_figures(self, status: pb.ServiceStatus) -> None:
        now, limits = sample(status), self._desk.feed.services[self._name].limits
        slo = limits.slo if limits else None
        self._load_now.say(NO_DATA if now.load_rps is None else rate(now.load_rps))
        latency = NO_DATA if now.p95_ms is None else f"{now.p95_ms:.0f} ms"
        self._latency.say(latency, f"SLO {slo.latency_s * 1e3:.0f} ms" if slo else "")
        misses = NO_DATA if now.miss_share is None else percent(now.miss_share)
        self._misses_now.say(
            misses, f"SLO allows {percent(allowed_misses(slo.share))}" if slo else ""
        )
        if now.ready is None:
            self._ready.say(NO_DATA)
        else:
            self._ready.say(f"{now.ready:.0f}", f"of {now.wanted:.0f} wanted")

    def _draw_table(self, status: pb.ServiceStatus) -> None:
        if len(self._rows) != len(status.backends):
            self._rows = []
            self._table.clear()
            with self._table:
                self._build_table(len(status.backends))
        for cells, backend in zip(self._rows, status.backends, strict=True):
            texts = (
                backend.name, f"{backend.ready}", f"{backend.starting}", f"{backend.wanted}",
                f"{backend.weight * 100:.0f} %",
            )  # fmt: skip
            for cell, text in zip(cells, texts, strict=True):
                cell.say(text)

    def _build_table(self, backends: int) -> None:
        if not backends:
            Tag("caption", "quiet", f"Backends: {NO_DATA} at the last tick")
            return
        with Tag("thead"), Tag("tr"):
            for column in COLUMNS:
                Tag("th", "", column, scope="col")
        with Tag("tbody"):
            for _ in range(backends):
                with Tag("tr"):
                    name = Tag("th", "", scope="row")
                    self._rows.append([name, *(Tag("td") for _ in COLUMNS[1:])])

    def _charts(self) -> None:
        with Tag("div", "charts"):
            load = [Series("load", "load", lambda now: now.load_rps)]
            self._load = Chart("Load", load, rate, least=1.0)
            replicas = [
                Series("ready", "ready", lambda now: now.ready),
                Series("wanted", "wanted", lambda now: now.wanted),
            ]
            self._replicas = Chart("Replicas", replicas, "{:.0f}".format, least=2.0)
            misses = [Series("misses", "misses", lambda now: now.miss_share)]
            self._misses = Chart("Misses, and the SLO's limit", misses, percent, least=0.02)

    def _draw_decision(self, status: pb.ServiceStatus) -> None:
        if status.error and not status.decision:
            self._now.say(f"No decision: {status.error}")
        else:
            self._now.say(f"{status.outcome}: {change(status)}")
        limited = f" The guard: {reasons(status.reasons)}." if status.reasons else ""
        self._why.say(f"{status.why}{'.' if status.why else ''}{limited}")


class Figure:
    """A number by its name, and what it is to be compared with."""

    def __init__(self, name: str) -> None:
        with Tag("div"):
            Tag("dt", "quiet", name)
            with Tag("dd"):
                self._value = Tag("span", "", NO_DATA)
                self._beside = Tag("span", "quiet")

    def say(self, value: str, beside: str = "") -> None:
        """Show a value."""
        self._value.say(value)
        self._beside.say(beside)
