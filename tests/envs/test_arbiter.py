"""The arbiter in arrays does what the guard's purse does service by service."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from trimtab_envs.arbiter import Arbiter
from trimtab_guard.limits import BackendLimits, ClusterLimits, Limits
from trimtab_guard.model import BackendState, Reading, State, Verdict, Want
from trimtab_guard.modes import SAME_SHARE
from trimtab_guard.ration import Change, Purse, paid, waiting

Floats = NDArray[np.float64]
CLUSTERS, SERVICES, BACKENDS = 5, 3, 2
NOTHING = Reading(0.0, 0.0)


class Guarded:
    """One cluster behind the guard's own functions."""

    def __init__(self, budget: float, at_once: float, price: Floats) -> None:
        self.cluster = ClusterLimits(budget=float(budget), services_at_once=int(at_once))
        self.changes: list[Change] = []
        self.limits = [
            Limits(
                str(service),
                tuple(BackendLimits(str(k), price=float(p)) for k, p in enumerate(price[service])),
            )
            for service in range(SERVICES)
        ]

    def allow(
        self, now_s: float, wanted: Floats, weight: Floats, present: Floats, routed: Floats
    ) -> tuple[Floats, Floats]:
        purse = Purse.counted(self.cluster, self.changes, now_s)
        verdicts = []
        for service, limits in enumerate(self.limits):
            here, want = (
                tuple(Want(str(k), int(replicas[service, k]), share[service, k]) for k in range(2))
                for replicas, share in ((present, routed), (wanted, weight))
            )
            state = State(
                limits.service, now_s, now_s, tuple(map(self.backend, here)), *[NOTHING] * 3
            )
            verdict = Verdict(limits.service, now_s, want)
            if crowd := purse.crowd(limits.service):
                verdict = waiting(verdict, Verdict(limits.service, now_s, here), crowd)
            verdict = paid(verdict, state, limits, purse)
            verdicts.append(verdict.backends)
            change = self.change(now_s, limits, here, verdict.backends)
            self.changes += change
            purse = purse.after(*change)
        rows = np.array([[(w.replicas, w.weight) for w in verdict] for verdict in verdicts])
        return rows[..., 0], rows[..., 1]

    @staticmethod
    def backend(want: Want) -> BackendState:
        return BackendState(want.name, want.replicas, 0, 0, 0, want.weight, NOTHING, NOTHING)

    @staticmethod
    def change(
        now_s: float, limits: Limits, before: tuple[Want, ...], after: tuple[Want, ...]
    ) -> list[Change]:
        pairs = list(zip(before, after, limits.backends, strict=True))
        if not any(
            a.replicas != b.replicas or abs(a.weight - b.weight) >= SAME_SHARE for b, a, _ in pairs
        ):
            return []
        cost = sum(max(0, a.replicas - b.replicas) * limit.price for b, a, limit in pairs)
        return [Change(now_s, limits.service, cost)]


@pytest.mark.parametrize("tick_s", [5.0, 15.0, 60.0])
def test_it_is_the_guards_purse(tick_s: float) -> None:
    rng = np.random.default_rng(int(tick_s))
    shape = (CLUSTERS, SERVICES, BACKENDS)
    price = rng.choice([0.1, 0.35, 1.0], shape)
    budget, at_once = rng.uniform(1.0, 12.0, CLUSTERS), rng.integers(1, 4, CLUSTERS).astype(float)
    arbiter = Arbiter(budget, at_once, price, tick_s)
    guards = [Guarded(*each) for each in zip(budget, at_once, price, strict=True)]
    present, routed = np.full(shape, 5.0), np.full(shape, 0.5)
    held = np.zeros(2)
    for step in range(400):
        # A cluster is quiet now and then, so that windows come to their end.
        calm = rng.random((CLUSTERS, SERVICES, 1)) < 0.8
        wanted = np.where(calm, present, rng.integers(0, 12, shape))
        # Some shares jump, some only tremble.
        chance = rng.random((CLUSTERS, SERVICES))
        share = np.where(chance < 0.8, routed[..., 0], np.where(chance < 0.9, 0.3, 0.3004))
        weight = np.stack([share, 1.0 - share], axis=-1)
        replicas, routes = arbiter.allow(wanted, weight, present, routed)
        for cluster, guard in enumerate(guards):
            expected = guard.allow(
                step * tick_s, wanted[cluster], weight[cluster], present[cluster], routed[cluster]
            )
            np.testing.assert_array_equal(replicas[cluster], expected[0])
            np.testing.assert_array_equal(routes[cluster], expected[1])
        held += [(replicas != wanted).any(), (routes != weight).any()]
        present, routed = replicas, routes
    assert (held > 10).all()


def test_a_reset_cluster_has_its_purse_full_and_others_go_on() -> None:
    budget, one = np.full(2, 3.0), np.ones((2, 1, 1))
    arbiter = Arbiter(budget, np.ones(2), one, 5.0)
    allow = arbiter.allow
    assert allow(9.0 * one, one, 1.0 * one, one)[0].ravel().tolist() == [4.0, 4.0]
    arbiter.reset(np.array([False, True]), 2.0 * budget, np.ones(2), one)
    assert allow(99.0 * one, one, 4.0 * one, one)[0].ravel().tolist() == [4.0, 10.0]
