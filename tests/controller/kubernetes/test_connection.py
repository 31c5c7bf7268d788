"""No way to a cluster is told at the start, with the way out."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from trimtab_controller.kubernetes.cluster import Cluster
from trimtab_controller.kubernetes.faults import Fault, answered
from trimtab_sim.schema import ConfigError

GOOD = """\
clusters: [{name: a, cluster: {server: "https://127.0.0.1:9"}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {token: t}}]
current-context: a
"""


@pytest.mark.parametrize(
    ("content", "context", "message"),
    [
        (None, "", "there is no file "),
        ("{{{", "", "while parsing a flow node"),
        ("- 1", "", "no API server: "),
        ("a: 1", "", "Expected key current-context"),
        (GOOD, "prod", "Expected object with name prod"),
    ],
    ids=["no file", "no YAML", "no mapping", "no kubeconfig", "no such context"],
)
def test_no_way_to_a_cluster(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: str | None,
    context: str,
    message: str,
) -> None:
    file = tmp_path / "config"
    if content:
        file.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(file))
    with pytest.raises(ConfigError, match=message) as refused:
        Cluster(context, time.time, 1)
    assert "set KUBECONFIG, or kubernetes.context to one of" in str(refused.value)


def test_a_server_that_does_not_answer_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "config"
    file.write_text(GOOD)
    monkeypatch.setenv("KUBECONFIG", str(file))
    with Cluster("", time.time, 1) as cluster:
        assert cluster.api.host == "https://127.0.0.1:9"


@pytest.mark.parametrize(
    ("status", "body", "fault", "certain", "words"),
    [
        (403, b'{"message": "no"}', Fault.FORBIDDEN, True, "Forbidden: GET /x: no (apply the role"),
        (422, b'{"message": "no"}', Fault.INVALID, True, "Invalid: GET /x: no"),
        (400, b"", Fault.INVALID, True, "Invalid: GET /x: HTTP 400"),
        (500, b"<html>oops", Fault.BROKEN, False, "InternalError: GET /x: <html>oops"),
        (503, b"[]", Fault.BROKEN, False, "InternalError: GET /x: []"),
        (504, b"", Fault.TIMEOUT, False, "Timeout: GET /x: HTTP 504"),
    ],
)
def test_what_an_answer_means(
    status: int, body: bytes, fault: Fault, certain: bool, words: str
) -> None:
    error = answered(status, body, {}, "GET /x")
    assert (error.fault, error.certain, error.status) == (fault, certain, status)
    assert str(error).startswith(words)
