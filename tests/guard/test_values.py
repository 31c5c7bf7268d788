"""What every value of the guard has in common, and what the others are when nobody says."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from typing import Any

import pytest

import trimtab_guard
from trimtab_guard.limits import BackendLimits, ClusterLimits, DrillLimits, Limits, bounds
from trimtab_guard.model import Proposal, Verdict
from trimtab_guard.modes import Authority, Change, Mode
from trimtab_guard.schedule import Day, Freeze


def values() -> list[type]:
    """Every dataclass of the package."""
    names = [module.name for module in pkgutil.iter_modules(trimtab_guard.__path__)]
    modules = [importlib.import_module(f"trimtab_guard.{name}") for name in names]
    found = {
        kind
        for module in modules
        for kind in vars(module).values()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    }
    return sorted(found, key=lambda kind: (kind.__module__, kind.__name__))


@pytest.mark.parametrize("kind", values(), ids=lambda kind: kind.__name__)
def test_values_can_neither_be_changed_nor_be_given_new_fields(kind: Any) -> None:
    assert kind.__dataclass_params__.frozen
    assert "__slots__" in vars(kind)


def test_words_that_people_and_journals_see() -> None:
    assert [*map(str, Mode)] == ["shadow", "approve", "assist", "guarded"]
    assert [*map(str, Change)] == ["scale-up", "scale-down", "route", "restart"]
    assert [*map(str, Authority)] == ["shadow", "ask", "act"]
    assert [*map(str, Day)] == ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def test_what_is_not_said_is_empty() -> None:
    assert Proposal("web", "p", 0.0, ()).why == ""
    assert Verdict("web", 0.0, ()).reasons == ()
    assert Freeze("2026-11-27T00:00", "2026-11-28T00:00").why == ""


RANGES = {
    "min_replicas": (0, 100_000),
    "max_replicas": (1, 100_000),
    "capacity_rps": (0.001, 1e9),
    "price": (1e-6, 1e4),
    "rate_window_s": (0.001, 3600),
    "up_percent": (0, 1000),
    "up_replicas": (0, 100_000),
    "down_percent": (0, 100),
    "down_replicas": (0, 100_000),
    "flap_window_s": (0.001, 3600),
    "flap_budget": (2, 1000),
    "hold_s": (0.001, 3600),
    "gap_s": (0.001, 3600),
    "weight_interval_s": (0.001, 3600),
    "weight_step": (0, 1),
    "headroom": (0, 10),
    "verify_s": (0.001, 3600),
    "verify_margin": (0.001, 0.5),
    "verify_alpha": (1e-9, 0.1),
    "verify_requests": (1, 10_000),
    "cool_s": (0.001, 3600),
    "lease_s": (60, 604_800),
    "drop_share": (0, 1),
    "drop_s": (0.001, 3600),
    "envelope_s": (0.001, 3600),
    "interval_s": (0.01, 600),
    "stale_intervals": (1, 100),
    "blind_s": (0.01, 3600),
    "budget_window_s": (0.001, 3600),
    "budget": (0, 1e9),
    "change_window_s": (0.001, 3600),
    "services_at_once": (1, 100_000),
    "drills_at_once": (1, 100_000),
    "replicas_share": (0, 1),
    "replicas_left": (1, 100_000),
    "lasts_s": (1, 3600),
    "error_budget_s": (0, 3600),
    "proxy_s": (0, 60),
}


def test_how_far_a_limit_may_be_set() -> None:
    """A wider range is a decision, not a slip."""
    kinds = (BackendLimits, Limits, ClusterLimits, DrillLimits)
    every = {name: bound for kind in kinds for name, bound in bounds(kind).items()}
    assert {name: (bound.least, bound.most) for name, (_, bound) in every.items()} == RANGES
