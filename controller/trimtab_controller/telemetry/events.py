"""What in the journal is worth waking somebody for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trimtab_controller import messages
from trimtab_controller.approvals import Answer, Envelope
from trimtab_controller.mandate import OURSELVES
from trimtab_controller.records import unpack
from trimtab_controller.up.words import asked


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Those of one ``kind``, ``service`` and ``what`` are repeats."""

    kind: str
    service: str
    what: str
    time_s: float
    text: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What repeats have in common."""
        return self.kind, self.service, self.what


def event(kind: str, body: Mapping[str, Any], time_s: float) -> Event | None:
    """The event that a record of the journal is, if it is one."""
    if kind == "envelope":
        return _approval(unpack(Envelope, body["envelope"]), time_s)
    if kind == "mode" and body["who"] == OURSELVES:
        name = "rollback" if "cooling_until_s" in body else "demotion"
        text = f"{body['service']} is in {body['mode']}: {body['why']}"
        return Event(name, body["service"], "", time_s, text)
    if kind == "writer":
        text = f"{body['service']} is in shadow: {body['writer']} wrote to it"
        return Event("demotion", body["service"], body["writer"], time_s, text)
    if kind == "stop":
        why = f": {body['why']}" if body["why"] else ""
        text = f"all writes are stopped by {body['who'] or 'somebody'}{why}"
        return Event("stop", "", "", time_s, text)
    return None


def _approval(envelope: Envelope, time_s: float) -> Event | None:
    if envelope.answer is not Answer.PENDING:
        return None
    text = f"{envelope.id} asks for {asked(messages.envelope(envelope))}: {envelope.why}"
    what = f"{envelope.backend} {envelope.change}"
    return Event("approval.pending", envelope.service, what, time_s, text)
