"""One service: what it carries, what it has, where it is going, and how far trimtab may go."""

from __future__ import annotations

from trimtab_controller.console.chart import Chart, Series
from trimtab_controller.console.desk import Desk
from trimtab_controller.console.glance import NO_DATA, allowed_misses
from trimtab_controller.console.history import sample
from trimtab_controller.console.inquiry import Answer, what_changed
from trimtab_controller.console.ladder import Ladder
from trimtab_controller.console.limits import Limits
from trimtab_controller.console.parts import Button, Tag
from trimtab_controller.up.words import change, mode_name, percent, rate, reasons
from trimtab_proto.v1 import controller_pb2 as pb

COLUMNS = ("backend", "ready", "starting", "wanted", "route")


class Card:
    """Everything about the service ``name``."""

    def __init__(self, desk: Desk, name: str) -> None:
        self._desk = desk
        self._name = name
        self._rows: list[list[Tag]] = []
        with Tag("article", "card", aria_label=f"service {name}"):
            with Tag("div", "line"):
                Tag("h2", "", name)
                self._mode = Tag("span", "mode")
                self._policy = Tag("span", "quiet")
            self._figures()
            self._table = Tag("table")
            self._charts()
            with Tag("div", "line"):
                self._now = Tag("span", "now")
                self._why = Tag("span", "quiet")
            with Tag("div"):
                Button("What changed?", self._ask)
                self._answer = Answer(f"what changed around {name}")
            self._ladder = Ladder(desk, name)
            self._limits = Limits(desk, name)

    def draw(self, now_s: float) -> None:
        """Show what is known now."""
        seen = self._desk.feed.services[self._name]
        status = seen.status
        mode = "STOPPED" if status.stopped else mode_name(status.mode)
        self._mode.say(mode)
        self._mode.dress(f"mode {mode.lower()}")
        self._policy.say(f"policy {status.policy}")
        self._draw_figures(status)
        self._draw_table(status)
        if seen.limits:
            self._misses.limit(allowed_misses(seen.limits.slo.share))
        for chart in (self._load, self._replicas, self._misses):
            chart.draw(seen.history, now_s)
        self._draw_decision(status)
        self._ladder.draw(now_s)
        self._limits.draw()

    async def _ask(self) -> None:
        await what_changed(self._desk, self._answer, self._name)

    def _figures(self) -> None:
        with Tag("dl", "figures"):
            self._load_now = _figure("Load")
            self._latency = _figure("95 % answered within")
            self._missing = _figure("Misses")
            self._count = _figure("Replicas ready")

    def _draw_figures(self, status: pb.ServiceStatus) -> None:
        now, limits = sample(status), self._desk.feed.services[self._name].limits
        slo = limits.slo if limits else None
        self._load_now.say(NO_DATA if now.load_rps is None else rate(now.load_rps))
        p95 = NO_DATA if now.p95_ms is None else f"{now.p95_ms:.0f} ms"
        self._latency.say(f"{p95} (SLO {slo.latency_s * 1e3:.0f} ms)" if slo else p95)
        misses = NO_DATA if now.miss_share is None else percent(now.miss_share)
        allowed = f" (SLO allows {percent(allowed_misses(slo.share))})" if slo else ""
        self._missing.say(misses + allowed)
        ready = NO_DATA if now.ready is None else f"{now.ready:.0f} of {now.wanted:.0f} wanted"
        self._count.say(ready)

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


def _figure(name: str) -> Tag:
    with Tag("div"):
        Tag("dt", "quiet", name)
        return Tag("dd", "", NO_DATA)
