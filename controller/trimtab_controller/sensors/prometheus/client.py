"""Asks Prometheus one question.

An answer is JSON from one GET; the client libraries bring pandas for it, so this is urllib3.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import urllib3

from trimtab_controller.protocols import SensorError
from trimtab_controller.sensors.prometheus.spec import PrometheusSpec


class Sample(NamedTuple):
    """One series' value now; it may be NaN or infinite."""

    labels: Mapping[str, str]
    value: float


class Client:
    """One Prometheus, over connections that are kept."""

    def __init__(self, spec: PrometheusSpec) -> None:
        self._spec = spec
        self._pool = urllib3.PoolManager(
            retries=False, timeout=spec.timeout_s, ca_certs=spec.ca or None
        )

    def instant(self, name: str, query: str) -> list[Sample]:
        """The series that ``query`` gives now; `SensorError` unless it is a whole answer."""
        try:
            return _samples(self._answer(query))
        except (urllib3.exceptions.HTTPError, OSError) as error:
            problem = _plain(error)
        except _RefusalError as error:
            problem = str(error)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            problem = f"not the answer of a Prometheus ({error}): correct prometheus.url"
        raise SensorError(f"Prometheus at {self._spec.url}: {name}: {problem}")

    def _answer(self, query: str) -> Any:
        reply = self._pool.request(
            "GET",  # whoever guards it may let readers GET, and nothing else
            f"{self._spec.url.rstrip('/')}/api/v1/query",
            fields={"query": query},
            headers=self._headers(),
            redirect=False,
        )
        if reply.status != 200:
            raise _RefusalError(_reason(reply))
        return json.loads(reply.data)

    def _headers(self) -> dict[str, str]:
        """Read anew each time: Kubernetes replaces a token's file every hour."""
        if not self._spec.token:
            return {}
        token = Path(self._spec.token).read_text(errors="replace").strip()
        if not (token.isascii() and token.isprintable()):
            raise _RefusalError(
                f"{self._spec.token} must hold the token in one line, and nothing else"
            )
        return {"Authorization": f"Bearer {token}"}


class _RefusalError(Exception):
    """Prometheus answers, but not with all that was asked for."""


def _samples(answer: Any) -> list[Sample]:
    if answer["status"] != "success":
        raise _RefusalError(str(answer["error"]))
    if told := answer.get("warnings") or answer.get("isPartial"):
        raise _RefusalError(f"may be only a part of the answer: {told}")
    if answer["data"]["resultType"] != "vector":
        raise _RefusalError("the query gives no instant vector: correct prometheus.queries")
    return [_sample(one) for one in answer["data"]["result"]]


def _sample(one: Any) -> Sample:
    if "value" not in one:
        raise _RefusalError("the query gives native histograms: query classic buckets, …_bucket")
    return Sample(dict(one["metric"]), float(one["value"][1]))


def _reason(reply: urllib3.BaseHTTPResponse) -> str:
    """Prometheus' own words for what is wrong with a query, or what HTTP says."""
    if reply.status in (401, 403):
        return f"HTTP {reply.status}: it wants another token: correct the file of prometheus.token"
    fix = ": correct prometheus.queries" if reply.status in (400, 422) else ""
    try:
        return f"HTTP {reply.status}: {json.loads(reply.data)['error']}{fix}"
    except (ValueError, LookupError, TypeError):
        return f"HTTP {reply.status} {reply.reason}"


def _plain(error: Exception) -> str:
    """What is wrong with the connection, without the library's object in front of it."""
    late = isinstance(error, urllib3.exceptions.TimeoutError)
    if late and not isinstance(error, urllib3.exceptions.NewConnectionError):
        return "no answer in time: it is slow, or unreachable"
    return str(error).rpartition(">: ")[2] or type(error).__name__
