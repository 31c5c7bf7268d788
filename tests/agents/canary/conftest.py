"""Looks at two sides, drawn request by request."""

from collections.abc import Callable

import numpy as np
import pytest

from trimtab_agents.canary import Histogram, Side

EDGES_S = tuple(d * 10.0**e / 10.0 for e in range(-3, 2) for d in range(10, 100))
Look = Callable[..., Side]


def histogram(latency_s: np.ndarray) -> Histogram:
    return Histogram(EDGES_S, tuple(np.histogram(latency_s, EDGES_S)[0].tolist()))


@pytest.fixture
def look() -> Look:
    """One look at a side: so much slower, with such a share of errors."""
    rng = np.random.default_rng(11)

    def measured(
        time_s: float, slower: float = 1.0, answers: int = 300, errors: float = 0.001,
        in_flight: float = 4.0,
    ) -> Side:  # fmt: skip
        latency = slower * rng.lognormal(-3.0, 0.8, answers)
        failed = int(rng.binomial(answers, errors))
        inside = float(rng.poisson(10 * in_flight))
        return Side(histogram(latency), answers, failed, inside, 10, time_s)

    return measured
