"""Logs what people and trimtab did, with fields, as the journal has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import structlog

from trimtab_controller.approvals import Envelope
from trimtab_controller.memory import OutcomeRecord
from trimtab_controller.records import unpack

log = structlog.get_logger(__name__)

# Ticks would drown these, and denials could be made to.
ACTS = frozenset(
    {"mode", "renew", "writer", "stop", "abort", "resume", "undone", "epoch", "reload"}
)
OF_ENVELOPES = ("id", "service", "backend", "change", "least", "most", "answer", "who")
OF_OUTCOMES = ("service", "applied", "error")


def note(kind: str, body: Mapping[str, Any], _time_s: float) -> None:
    """Log a record of the journal, if it is an act."""
    if kind in ACTS:
        log.info(kind, **body)
    elif kind == "envelope":
        log.info(kind, **_some(unpack(Envelope, body[kind]), OF_ENVELOPES))
    elif kind == "outcome":
        log.info("write", **_some(unpack(OutcomeRecord, body["service"]), OF_OUTCOMES))


def _some(record: Envelope | OutcomeRecord, names: tuple[str, ...]) -> dict[str, Any]:
    fields = asdict(record)
    return {name: fields[name] for name in names}
