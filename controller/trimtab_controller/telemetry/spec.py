"""The parts `metrics` and `webhook` of trimtab.yaml."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from trimtab_sim.schema import Positive, Range

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class MetricsSpec:
    """Where Prometheus finds ``/metrics``; any host but this machine needs TLS and tokens.

    Of more services than ``services_max`` only the first ones have series of their own.
    """

    listen: str = "127.0.0.1:9464"
    services_max: Annotated[int, Range(least=1)] = 1000


@dataclass(frozen=True, slots=True)
class WebhookSpec:
    """Whom to tell of approvals, demotions, rollbacks and stops.

    ``secret`` is a file with the key that signs, base64. Repeats within ``fold_s`` are one message.
    """

    url: str
    secret: str
    fold_s: Positive = 300.0
    timeout_s: Positive = 10.0

    def __post_init__(self) -> None:
        url = urlsplit(self.url)
        here = url.hostname in LOOPBACK
        if not url.hostname or url.scheme not in ("https", "http"):
            raise ValueError("url must be https://HOST/PATH")
        if url.scheme == "http" and not here:
            raise ValueError("url must be https: what is sent there says how the services are")

    def within(self, folder: Path) -> WebhookSpec:
        """The same; a relative path is from ``folder``, where the configuration is."""
        return replace(self, secret=str(folder / self.secret))
