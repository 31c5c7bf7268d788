"""The one line that must be right at three in the morning, and the words beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import pytest

from trimtab_controller.console.feed import Seen
from trimtab_controller.console.glance import glance, left
from trimtab_controller.console.limits import fullness, nearest, numbers, words
from trimtab_proto.v1 import controller_pb2 as pb

NOW_S = 1_800_000_000.0


@dataclass
class Known:
    """What a feed knows, without a daemon behind it."""

    services: dict[str, Seen] = field(default_factory=dict)
    pending: tuple[pb.Envelope, ...] = ()
    away_since_s: float | None = None
    stopped: bool = False


def seen(**fields: Any) -> Seen:
    status = pb.ServiceStatus(
        **{
            "service": "web",
            "backends": [pb.BackendStatus(name="a", ready=1, wanted=1)],
            "miss_share": 0.001,
            "mode": pb.MODE_GUARDED,
            **fields,
        }
    )
    limits = pb.ServiceLimits(service="web", slo=pb.Slo(latency_s=0.3, share=0.99))
    return Seen(status, limits=limits)


CALM = {"web": seen()}


@pytest.mark.parametrize(
    ("known", "kind", "headline"),
    [
        (Known(CALM), "good", "All calm"),
        (Known({"web": seen(miss_share=math.nan)}), "good", "All calm"),
        (Known({"web": seen(miss_share=0.03)}), "warn",
         "web: 3.0 % of requests miss, the SLO allows 1.0 %"),
        (Known({"web": seen(backends=[], error="Envoy is gone")}), "warn",
         "web: no decision at the last tick: Envoy is gone"),
        (Known({"web": seen(error="rolled back", decision=[pb.BackendDecision(name="a")])}), "warn",
         "web: rolled back"),
        (Known({"web": seen(lowered="the lease ended", mode=pb.MODE_APPROVE)}), "warn",
         "web: lowered to approve, the lease ended"),
        (Known({"web": seen(miss_share=0.9)}, (pb.Envelope(id="1"),)), "warn",
         "web: 90 % of requests miss"),
        (Known(CALM, (pb.Envelope(id="1"),)), "warn", "1 change waits for approval"),
        (Known(CALM, (pb.Envelope(id="1"), pb.Envelope(id="2"))), "warn",
         "2 changes wait for approval"),
        (Known(CALM, (pb.Envelope(id="1"),), stopped=True), "bad", "Stopped"),
        (Known(CALM, stopped=True, away_since_s=NOW_S - 65), "bad", "The daemon is away for 1:05"),
        (Known(away_since_s=NOW_S), "bad", "Waiting for the daemon"),
    ],
    ids=["calm", "idle", "misses", "blind", "rolled back", "lowered", "misses and asked", "asked",
         "asked twice", "stopped", "away",
         "never seen"],
)  # fmt: skip
def test_the_most_urgent_comes_first(known: Known, kind: str, headline: str) -> None:
    shown = glance(known, NOW_S)  # type: ignore[arg-type]  # all that it looks at
    assert shown.kind == kind
    assert shown.headline.startswith(headline)


@pytest.mark.parametrize(
    ("services", "detail"),
    [
        (CALM, "1 service within the SLO; nothing waits for you."),
        ({"web": seen(), "api": seen(miss_share=math.nan)},
         "1 service within the SLO, no data of 1; nothing waits for you."),
    ],
    ids=["measured", "idle"],
)  # fmt: skip
def test_calm_is_only_said_of_what_was_measured(services: dict[str, Seen], detail: str) -> None:
    assert glance(Known(services), NOW_S).detail == detail  # type: ignore[arg-type]  # as above


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "over"), (-5, "over"), (0.2, "0:01"), (61, "1:01"), (3599.5, "1 h 0 min"),
     (8 * 3600, "8 h 0 min")],
)  # fmt: skip
def test_a_countdown(seconds: float, text: str) -> None:
    assert left(NOW_S + seconds, NOW_S) == text


def use(code: str = "RATE_UP", used: float = 3, most: float = 4, **more: Any) -> pb.LimitUse:
    fields = {"backend": "spot", "unit": "replicas", "window_s": 60.0, **more}
    return pb.LimitUse(code=code, used=used, most=most, **fields)


@pytest.mark.parametrize(
    ("one", "full", "text"),
    [
        (use(), 0.75, "spot replicas added in 60 s, 3 of 4"),
        (use(used=9), 1.0, "spot replicas added in 60 s, 9 of 4"),
        (use(used=0, most=0), 0.0, "spot replicas added in 60 s, 0 of 0"),
        (use(used=1, most=0), 1.0, "spot replicas added in 60 s, 1 of 0"),
        (use("WEIGHT_STEP", 0.05, 0.1, unit="share", window_s=0.5), 0.5,
         "spot points of the route moved in 0.5 s, 5 of 10"),
        (use("MAX_REPLICAS", 4, 12, window_s=0.0), 1 / 3,
         "spot replicas, 4 of 12"),
        (use("BUDGET", 2.4, 10, backend="", unit="price"), 0.24,
         "all services: cost of new replicas in 60 s, 2.4 of 10"),
    ],
    ids=["near", "others did more", "nothing allowed", "more than nothing", "points", "at any time",
         "shared"],
)  # fmt: skip
def test_a_limit_in_words(one: pb.LimitUse, full: float, text: str) -> None:
    assert fullness(one) == pytest.approx(full)
    assert f"{words(one)}, {numbers(one)}" == text


def test_the_nearest_limit_is_the_one_that_is_named() -> None:
    assert nearest([]) == "Limits: no data yet"
    assert nearest([use(used=1), use("FLAP", 9, 10)]).startswith(
        "Limits: none met. Nearest: spot st"
    )
    assert nearest([use(used=4), use("FLAP", 9, 10)]).startswith(
        "Limits: one is met: spot replicas added"
    )
