"""Questions that are answered from the journal, on demand: why a decision, and what changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.parts import Action, Button, Tag
from trimtab_controller.up.words import clock_time
from trimtab_proto.v1 import controller_pb2 as pb

Row = tuple[str, str]


class Answer:
    """A panel with a headline and rows of facts; nothing until there is an answer."""

    def __init__(self, label: str) -> None:
        self._panel = Tag("div", "answer", role="region", aria_label=label)
        self._panel.show(False)

    def tell(self, headline: str, rows: Iterable[Row], more: Action | None = None) -> None:
        """Show an answer; ``more`` asks for the rest of it."""
        self._panel.clear()
        with self._panel:
            Tag("strong", "", headline)
            with Tag("dl", "facts"):
                for label, text in rows:
                    Tag("dt", "quiet", label)
                    Tag("dd", "", text)
            with Tag("div", "line"):
                if more:
                    Button("What each input did", more)
                Button("Close", self.close, "plain")
        self._panel.show(True)

    async def close(self) -> None:
        """Take it away."""
        self._panel.show(False)


async def why(desk: Desk, answer: Answer, service: str, time_s: float) -> None:
    """Tell why a decision was made, and whether it was right."""

    async def tell(*, thorough: bool) -> None:
        answer.tell("Reading the journal …", ())
        reply = await desk.ask(lambda v: v.explain(service, time_s, thorough=thorough))
        if reply is None:
            await answer.close()
        else:
            answer.tell(reply.sentence, facts(reply), None if thorough else more)

    async def more() -> None:
        await tell(thorough=True)

    await tell(thorough=False)


async def what_changed(desk: Desk, answer: Answer, service: str) -> None:
    """Tell what happened before misses rose, the likeliest cause first."""
    answer.tell("Reading the journal …", ())
    reply = await desk.ask(lambda voice: voice.what_changed(service))
    if reply is None:
        await answer.close()
    else:
        answer.tell(reply.words, changes(reply))


def facts(reply: pb.ExplainReply) -> Iterator[Row]:
    """What an explanation adds to its sentence."""
    yield "decision", f"{reply.service}@{reply.record}, {clock_time(reply.time_s)}, {reply.outcome}"
    if reply.proposal:
        yield "proposed", wants(reply.proposal)
    if reply.decision:
        yield "allowed", wants(reply.decision)
    for reason in reply.guard:
        yield "guard", reason.words
    if reply.hindsight.words:
        yield "hindsight", f"{reply.hindsight.judgement}: {reply.hindsight.words}"
    for each in reply.inputs:
        yield f"blind to {each.name}", f"{_more(each.more)} ({wants(each.wanted)})"
    for each in reply.rules:
        yield f"rule {each.name}", f"{_more(each.more)} ({wants(each.wanted)})"
    if reply.doubt:
        yield "not told", reply.doubt


def changes(reply: pb.WhatChangedReply) -> Iterator[Row]:
    """The suspects, in the daemon's order, and what people did."""
    for suspect in reply.suspects:
        yield f"{clock_time(suspect.time_s)} {suspect.kind}", suspect.words
    for also in reply.also:
        yield "also", also


def wants(wishes: Iterable[pb.BackendDecision]) -> str:
    """Replicas and shares, as ``spot 4 at 60 %``."""
    return ", ".join(f"{w.name} {w.replicas} at {w.weight * 100:.0f} %" for w in wishes)


def _more(replicas: int) -> str:
    return f"{replicas:+d} replicas" if replicas else "no other count"
