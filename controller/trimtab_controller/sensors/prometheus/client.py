"""Asks Prometheus one question.

An answer is JSON from one GET; the client libraries bring pandas for it, so this is urllib3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import urllib3

from trimtab_controller.protocols import SensorError
from trimtab_controller.sensors.prometheus.spec import PrometheusSpec

T = TypeVar("T")


class PrometheusError(SensorError):
    """A query that gave nothing to work with; the message names it and says what to do."""


class Sample(NamedTuple):
    """One series' value; it may be NaN or infinite."""

    labels: Mapping[str, str]
    value: float


class Series(NamedTuple):
    """One series' values by time, where they are numbers."""

    labels: Mapping[str, str]
    values: Mapping[float, float]


class Client:
    """One Prometheus, over connections that are kept."""

    def __init__(self, spec: PrometheusSpec) -> None:
        self._spec = spec
        self._pool = urllib3.PoolManager(
            retries=False, timeout=spec.timeout_s, ca_certs=spec.ca or None
        )

    def instant(self, name: str, query: str, at_s: float | None = None) -> list[Sample]:
        """The series that ``query`` gives now, or gave at ``at_s`` (seconds since the epoch).

        Raises `PrometheusError` unless it is a whole answer.
        """
        when = {} if at_s is None else {"time": f"{at_s:.3f}"}
        return self._found(name, "query", "vector", _sample, {"query": query, **when})

    def range(
        self, name: str, query: str, start_s: float, end_s: float, step_s: float
    ) -> list[Series]:
        """The same, over time."""
        window = {"start": f"{start_s}", "end": f"{end_s}", "step": f"{step_s}"}
        return self._found(name, "query_range", "matrix", _series, {"query": query, **window})

    def _found(
        self,
        name: str,
        path: str,
        kind: str,
        read: Callable[[Any], T],
        fields: Mapping[str, str],
    ) -> list[T]:
        try:
            return [read(one) for one in _results(self._answer(path, fields), kind)]
        except (urllib3.exceptions.HTTPError, OSError) as error:
            problem = _plain(error)
        except _RefusalError as error:
            problem = str(error)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            problem = f"not the answer of a Prometheus ({error}): correct its url"
        raise PrometheusError(f"Prometheus at {self._spec.url}: {name}: {problem}")

    def _answer(self, path: str, fields: Mapping[str, str]) -> Any:
        reply = self._pool.request(
            "GET",  # whoever guards it may let readers GET, and nothing else
            f"{self._spec.url.rstrip('/')}/api/v1/{path}",
            fields=fields,
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


def _results(answer: Any, kind: str) -> Any:
    if answer["status"] != "success":
        raise _RefusalError(str(answer["error"]))
    if told := answer.get("warnings") or answer.get("isPartial"):
        raise _RefusalError(f"may be only a part of the answer: {told}")
    if (found := answer["data"]["resultType"]) != kind:
        raise _RefusalError(f"the query gives a {found}, no {kind}: correct it")
    return answer["data"]["result"]


def _sample(one: Any) -> Sample:
    _check_floats(one, "histogram")
    return Sample(dict(one["metric"]), float(one["value"][1]))


def _series(one: Any) -> Series:
    _check_floats(one, "histograms")
    values = ((float(time_s), float(value)) for time_s, value in one["values"])
    return Series(dict(one["metric"]), {t: value for t, value in values if isfinite(value)})


def _check_floats(one: Any, native: str) -> None:
    if native in one:
        raise _RefusalError("the query gives native histograms: query classic buckets, …_bucket")


def _reason(reply: urllib3.BaseHTTPResponse) -> str:
    """Prometheus' own words for what is wrong with a query, or what HTTP says."""
    if reply.status in (401, 403):
        return f"HTTP {reply.status}: it wants another token: correct the file of `token`"
    fix = ": correct the query" if reply.status in (400, 422) else ""
    try:
        return f"HTTP {reply.status}: {json.loads(reply.data)['error']}{fix}"
    except (ValueError, LookupError, TypeError):
        return f"HTTP {reply.status} {reply.reason}"


def _plain(error: Exception) -> str:
    """What is wrong with the connection, without the library's object in front of it."""
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return str(error).partition(": ")[2]
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "no answer in time: it is slow, or unreachable"
    return str(error) or type(error).__name__
