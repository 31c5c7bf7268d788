"""A real endpoint that fails, hangs, lies and comes back; and a loop that never waits for it."""

from __future__ import annotations

import logging
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from trimtab_controller.telemetry.spec import WebhookSpec
from trimtab_controller.telemetry.webhook import Webhook, secret
from trimtab_guard.modes import Mode
from trimtab_sim.schema import ConfigError
from trimtab_stage.spec import Ask

World = Any  # the class in the conftest.py above, which cannot be imported from here

KEY = b64encode(bytes(range(32))).decode()
PATIENCE_S = 20.0
STOP = {"who": "ann", "why": "it smells"}


class Endpoint:
    """Answers as the test says, one after the other, and then with 204."""

    def __init__(self) -> None:
        self.answers: list[int | threading.Event] = []
        self.asked: Queue[tuple[dict[str, str], str]] = Queue()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:  # http.server's name
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.asked.put((dict(self.headers), body))
                answer = outer.answers.pop(0) if outer.answers else 204
                if isinstance(answer, threading.Event):
                    answer.wait(PATIENCE_S)
                    return
                self.send_response(answer)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its parent's
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?key=hush"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self) -> dict[str, Any]:
        """The next message, its signature verified by the standard's own library."""
        headers, body = self.asked.get(timeout=PATIENCE_S)
        found: dict[str, Any] = Verifier(KEY).verify(body, headers)
        return found


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    endpoint = Endpoint()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()


@pytest.fixture
def sending(endpoint: Endpoint, tmp_path: Path) -> Iterator[Callable[..., Webhook]]:
    """A webhook that tells the endpoint."""
    (tmp_path / "key").write_text(KEY + "\n")
    (tmp_path / "key").chmod(0o600)
    made: list[Webhook] = []

    def send(timeout_s: float = 5.0, fold_s: float = 300.0) -> Webhook:
        spec = WebhookSpec(endpoint.url, "key", fold_s, timeout_s).within(tmp_path)
        made.append(Webhook(spec, time.time, time.monotonic))
        return made[-1]

    yield send
    for webhook in made:
        webhook.close()


def counted(webhook: Webhook) -> dict[str, float]:
    (family,) = webhook.results.collect()
    return {s.labels["result"]: s.value for s in family.samples if s.name.endswith("_total")}


def until(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def test_a_message_is_signed_and_says_what_happened(endpoint: Endpoint, sending: Any) -> None:
    sending().listen("stop", STOP, 1_800_000_000.0)
    message = endpoint.next()
    assert message == {
        "type": "stop",
        "timestamp": "2027-01-15T08:00:00.000+00:00",
        "data": {
            "service": "",
            "text": "all writes are stopped by ann: it smells",
            "times": 1,
            "first": "2027-01-15T08:00:00.000+00:00",
        },
    }


def test_another_key_or_body_does_not_verify(endpoint: Endpoint, sending: Any) -> None:
    sending().listen("stop", STOP, 0.0)
    headers, body = endpoint.asked.get(timeout=PATIENCE_S)
    for key, text in ((b64encode(b"x" * 32).decode(), body), (KEY, body.replace("ann", "ben"))):
        with pytest.raises(WebhookVerificationError):
            Verifier(key).verify(text, headers)


@pytest.mark.parametrize("answer", [500, 404, 302], ids=str)
def test_what_was_not_taken_is_sent_again_with_the_same_id(
    endpoint: Endpoint, sending: Any, answer: int
) -> None:
    endpoint.answers = [answer]
    webhook = sending()
    webhook.listen("stop", STOP, 0.0)
    first, again = (endpoint.asked.get(timeout=PATIENCE_S) for _ in range(2))
    assert first[1] == again[1]
    assert first[0]["webhook-id"] == again[0]["webhook-id"]
    until(lambda: counted(webhook) == {"retried": 1.0, "sent": 1.0})


def test_an_endpoint_that_hangs_holds_nobody_up(
    endpoint: Endpoint, sending: Any, world: World
) -> None:
    woken = threading.Event()
    endpoint.answers = [woken]
    webhook = sending(timeout_s=0.5)
    world.journal.listeners.append(webhook.listen)
    world.mandate.stop("ann", "", world.clock())
    endpoint.next()
    # It hangs: the loop ticks on, and its records are written.
    before = world.journal.last("tick").seq
    world.tick(3)
    assert world.journal.last("tick").seq > before
    assert endpoint.next()["type"] == "stop"
    woken.set()


def test_an_endpoint_that_is_away_is_told_when_it_is_back(endpoint: Endpoint, sending: Any) -> None:
    port = endpoint.server.server_port
    endpoint.server.shutdown()
    endpoint.server.server_close()
    webhook = sending()
    webhook.listen("stop", STOP, 0.0)
    until(lambda: counted(webhook).get("retried", 0.0) >= 1.0)
    back = ThreadingHTTPServer(("127.0.0.1", port), endpoint.server.RequestHandlerClass)
    threading.Thread(target=back.serve_forever, daemon=True).start()
    try:
        assert endpoint.next()["type"] == "stop"
        until(lambda: counted(webhook).get("sent", 0.0) == 1.0)
    finally:
        back.shutdown()
        back.server_close()


def test_who_closes_sends_what_is_due_and_does_not_wait_for_the_rest(
    endpoint: Endpoint, sending: Any
) -> None:
    endpoint.answers = [500]
    webhook = sending()
    webhook.listen("stop", STOP, 0.0)
    webhook.listen("mode", {"who": "trimtab", "service": "web", "mode": "approve", "why": ""}, 0.0)
    webhook.close()
    assert {endpoint.next()["type"] for _ in range(2)} == {"stop", "demotion"}


def ask_for_more(world: World) -> None:
    world.mandate.set_mode("web", Mode.APPROVE, "ann", world.clock())
    world.want(a=3)
    world.tick()


def somebody_writes(world: World) -> None:
    world.stage.write("ben", Ask("a", 4, None))
    world.tick()


def lease_ends(world: World) -> None:
    world.clock.now_s += world.config.services[0].limits.lease_s
    world.tick()


def stop(world: World) -> None:
    world.mandate.stop("ann", "it smells", world.clock())


def misses_rise(world: World) -> None:
    world.mandate.condemn("web", world.clock() + 60, "misses rose after a write", world.clock())


@pytest.mark.parametrize(
    ("happens", "kind", "says"),
    [
        pytest.param(ask_for_more, "approval.pending", "web/a scale-up, 1 to 3", id="pending"),
        pytest.param(somebody_writes, "demotion", "web is in shadow: ben wrote to it", id="writer"),
        pytest.param(lease_ends, "demotion", "the lease on web has ended", id="lease"),
        pytest.param(misses_rise, "rollback", "misses rose after a write", id="rollback"),
        pytest.param(stop, "stop", "all writes are stopped by ann: it smells", id="stop"),
    ],
)
def test_what_really_happens_is_told_once(
    world: World,
    endpoint: Endpoint,
    sending: Any,
    happens: Callable[[World], None],
    kind: str,
    says: str,
) -> None:
    webhook = sending()
    world.journal.listeners.append(webhook.listen)
    happens(world)
    message = endpoint.next()
    assert message["type"] == kind
    assert says in message["data"]["text"]
    world.tick(3)
    webhook.close()
    assert endpoint.asked.empty()


def test_neither_key_nor_url_is_logged(
    endpoint: Endpoint,
    sending: Any,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    endpoint.answers = [500]
    webhook = sending()
    webhook.listen("stop", STOP, 0.0)
    until(lambda: "sent" in counted(webhook))
    webhook.close()
    said = caplog.text + "".join(capfd.readouterr())
    assert "HTTP 500" in said
    assert KEY not in said
    assert "hush" not in said


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        pytest.param(None, 0, "there is no such file", id="missing"),
        pytest.param(KEY, 0o644, "others may read it: chmod 600", id="open"),
        pytest.param("", 0o600, "not 24 bytes or more in base64", id="empty"),
        pytest.param("c2hvcnQ=", 0o600, "not 24 bytes or more in base64", id="short"),
        pytest.param("é" * 40, 0o600, "not 24 bytes or more in base64", id="no base64"),
    ],
)
def test_a_key_that_cannot_be_used(
    tmp_path: Path, content: str | None, mode: int, says: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    with pytest.raises(ConfigError, match=says) as refused:
        secret(file)
    assert not content or content not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param("http://example.com/x", "must be https", id="in the clear"),
        pytest.param("ftp://example.com/x", "must be https://HOST/PATH", id="another scheme"),
        pytest.param("example.com", "must be https://HOST/PATH", id="no scheme"),
    ],
)
def test_an_address_that_nothing_is_sent_to(url: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        WebhookSpec(url, "key")
