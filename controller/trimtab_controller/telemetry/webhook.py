"""Tells one HTTP endpoint what happened, signed as https://www.standardwebhooks.com says.

It never waits for anything in the thread that an event comes from: a thread of its own sends,
again and again with longer and longer pauses, until it is told 2xx or has tried often enough.
"""

from __future__ import annotations

import json
import threading
from base64 import b64decode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import structlog
import urllib3
from prometheus_client import Counter
from standardwebhooks.webhooks import Webhook as Signature

from trimtab_controller.protocols import Clock
from trimtab_controller.security.stamp import stamp
from trimtab_controller.telemetry.events import event
from trimtab_controller.telemetry.outbox import Message, Outbox
from trimtab_controller.telemetry.spec import WebhookSpec
from trimtab_sim.schema import ConfigError

log = structlog.get_logger(__name__)

# What the last messages of a daemon that ends may take.
GRACE_S = 2.0
SECRET_BYTES_MIN = 24
# What the standard has secrets begin with, or not.
PREFIX = "whsec_"
OTHERS_MAY_READ = 0o077


class Webhook:
    """Sends from its beginning until ``close``; ``results`` counts what became of events."""

    def __init__(self, spec: WebhookSpec, clock: Clock, monotonic: Clock) -> None:
        """`ConfigError` when the secret cannot be used."""
        self.results = Counter(
            "trimtab_webhook_events",
            "Events for the webhook, by what became of them.",
            ["result"],
            registry=None,
        )
        self._spec = spec
        # The path may hold a key of the receiver's: logs name the host alone.
        self._host = urlsplit(spec.url).hostname
        self._signature = Signature(secret(Path(spec.secret)))
        self._clock = clock
        self._monotonic = monotonic
        self._pool = urllib3.PoolManager(retries=False)
        self._outbox = Outbox(spec.fold_s)
        self._turn = threading.Condition()
        self._closing = False
        self._failing = False
        self._thread = threading.Thread(target=self._live, name="webhook", daemon=True)
        self._thread.start()

    def listen(self, kind: str, body: Mapping[str, Any], time_s: float) -> None:
        """Take a record of the journal, and send it if it is an event."""
        found = event(kind, body, time_s)
        if found is None:
            return
        with self._turn:
            room = self._outbox.add(found, self._monotonic())
            self._turn.notify()
        if not room:
            self._count("dropped")
            log.error("too much waits for the webhook: dropped", event_kind=found.kind)

    def close(self) -> None:
        """Send what is due once more, if that takes no longer than `GRACE_S`."""
        with self._turn:
            self._closing = True
            self._turn.notify()
        self._thread.join(GRACE_S)

    def _live(self) -> None:
        while message := self._next():
            problem = self._post(message)
            if problem:
                self._again(message, problem)
            else:
                self._count("sent", message.times)
                self._tell("")

    def _next(self) -> Message | None:
        """The next message when it is due; ``None`` when nothing is and it is time to end."""
        with self._turn:
            while True:
                now_s = self._monotonic()
                message = self._outbox.take(now_s)
                if message or self._closing:
                    return message
                wait_s = self._outbox.next_s() - now_s
                self._turn.wait(min(wait_s, threading.TIMEOUT_MAX))

    def _post(self, message: Message) -> str:
        """Why the message was not taken; empty when it was."""
        body = payload(message)
        headers = {"Content-Type": "application/json", **self._signed(body)}
        try:
            reply = self._pool.request(
                "POST",
                self._spec.url,
                body=body.encode(),
                headers=headers,
                timeout=GRACE_S if self._closing else self._spec.timeout_s,
                redirect=False,
                preload_content=False,
            )
            reply.close()  # what it says besides is nothing to us, however much it is
        except urllib3.exceptions.HTTPError as error:
            return type(error).__name__
        return "" if 200 <= reply.status < 300 else f"HTTP {reply.status}"

    def _signed(self, body: str) -> dict[str, str]:
        """Who tries again sends the same id, so that the receiver knows it."""
        name, now = f"msg_{sha256(body.encode()).hexdigest()[:32]}", self._clock()
        moment = datetime.fromtimestamp(now, UTC)
        return {
            "webhook-id": name,
            "webhook-timestamp": str(int(now)),
            "webhook-signature": self._signature.sign(name, moment, body),
        }

    def _again(self, message: Message, problem: str) -> None:
        with self._turn:
            waits = self._outbox.put_back(message, self._monotonic())
        self._count("retried" if waits else "given up", 1 if waits else message.times)
        self._tell(problem)

    def _tell(self, problem: str) -> None:
        # Once: a line for every attempt would hide the next trouble.
        if problem and not self._failing:
            log.warning("the webhook fails", host=self._host, problem=problem)
        elif self._failing and not problem:
            log.info("the webhook works again", host=self._host)
        self._failing = bool(problem)

    def _count(self, result: str, times: int = 1) -> None:
        self.results.labels(result).inc(times)


def payload(message: Message) -> str:
    """The body: type, timestamp and data, as the standard has them."""
    event = message.event
    data = {
        "service": event.service,
        "text": event.text,
        "times": message.times,
        "first": _iso(message.first_s),
    }
    return json.dumps({"type": event.kind, "timestamp": _iso(event.time_s), "data": data})


def secret(file: Path) -> str:
    """The key in a file that only its owner may read; `ConfigError` says what is wrong."""
    advice = f"(umask 077 && openssl rand -base64 32 > {file})"
    found = stamp(file)
    if found is None:
        raise ConfigError(f"{file}: there is no such file, or it cannot be seen: make it: {advice}")
    if found.mode & OTHERS_MAY_READ:
        raise ConfigError(f"{file}: others may read it: chmod 600 {file}")
    text = file.read_text(errors="replace").strip()
    try:
        usable = len(b64decode(text.removeprefix(PREFIX), validate=True)) >= SECRET_BYTES_MIN
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(f"{file}: not {SECRET_BYTES_MIN} bytes or more in base64: {advice}")
    return text


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds")
