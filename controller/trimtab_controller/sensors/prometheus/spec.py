"""The part `prometheus` of trimtab.yaml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Template
from urllib.parse import urlsplit

from trimtab_controller.sensors.prometheus.presets import Preset, Proxy, Queries
from trimtab_sim.schema import NotNegative, Positive

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)

# The values of the labels that name one backend, in their order.
Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PrometheusSpec:
    """Where Prometheus is, whose metrics it has, and which of their labels name a backend.

    ``token`` and ``ca`` are files: what to show to it, and who vouches for it. Rates are means over
    ``range_s``, which should be four scrape intervals. ``labels`` and ``queries`` replace those of
    the ``preset``, and ``bucket_unit_s``, when it is not 0, how many seconds 1 of an ``le`` is.
    """

    url: str
    preset: Proxy = Proxy.ENVOY
    token: str = ""
    ca: str = ""
    range_s: Positive = 60.0
    timeout_s: Positive = 5.0
    labels: Mapping[str, str] = field(default_factory=dict)
    queries: Queries = field(default_factory=Queries)
    bucket_unit_s: NotNegative = 0.0

    def __post_init__(self) -> None:
        url = urlsplit(self.url)
        if not url.hostname or url.scheme not in ("http", "https"):
            raise ValueError(f"url is {self.url!r}: write http://HOST:PORT or https://HOST")
        if url.username or url.query:
            raise ValueError("url must end with the path: put a token into the file of `token`")
        if self.token and url.scheme == "http" and url.hostname not in LOOPBACK:
            raise ValueError("url must be https: a token must not be sent in the clear")
        for label in self.labels:
            if not LABEL.fullmatch(label) or label == "le":
                raise ValueError(f"labels: {label!r} cannot be the label that names a backend")

    @property
    def series(self) -> Mapping[str, str]:
        """The labels that name a backend, and what stands in each."""
        return self.labels or self._preset.labels

    @property
    def asked(self) -> dict[str, str]:
        """What Prometheus is asked, by the queries' names."""
        queries = self.queries.over(self._preset.queries)
        return queries.asked(", ".join(self.series), self.range_s)

    @property
    def bucket_s(self) -> float:
        """How many seconds 1 of ``le`` is."""
        return self.bucket_unit_s or self._preset.bucket_unit_s

    def key(self, called: Mapping[str, str], own: Mapping[str, str]) -> Key:
        """How a backend's series are labelled.

        ``called`` is what it is called here and on Kubernetes; ``own`` are labels that only it
        has. ``ValueError`` says what cannot be filled in.
        """
        if unknown := own.keys() - self.series.keys():
            raise ValueError(
                f"backend {called['backend']!r}: labels: {', '.join(sorted(unknown))}: these are "
                f"not in prometheus.labels: {', '.join(self.series)}"
            )
        return tuple(_filled(value, called) for value in {**self.series, **own}.values())

    def within(self, folder: Path) -> PrometheusSpec:
        """The same; a relative path is from ``folder``, where the configuration is."""
        token, ca = (str(folder / file) if file else "" for file in (self.token, self.ca))
        return replace(self, token=token, ca=ca)

    @property
    def _preset(self) -> Preset:
        return self.preset.value


def _filled(template: str, called: Mapping[str, str]) -> str:
    try:
        return Template(template).substitute(called)
    except (KeyError, ValueError) as error:
        raise ValueError(
            f"backend {called['backend']!r}: prometheus.labels: in {template!r} can stand "
            f"{', '.join('$' + name for name in called)}: set `labels` of this backend or there"
        ) from error
