"""The arrays that flow between a world (simulated or real) and whatever decides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class Sensed(NamedTuple):
    """What can be seen of B services with up to K backends at one tick.

    The simulator emits it, late and incomplete as metrics are; the daemon's codec packs
    real ``State`` into the same arrays. Counts and weights come from the stage and are
    current; rates, in-flight and misses come from metrics and are ``age_s`` old.

    time_s, age_s, miss_share: ``[B]``;
    rate_rps, in_flight, error_share, wanted, starting, ready, draining, weight: ``[B, K]``,
    zero where a backend is absent. ``in_flight`` counts requests being served and waiting;
    ``error_share`` is the part of the requests that were answered with an error.
    """

    time_s: Floats
    age_s: Floats
    miss_share: Floats
    rate_rps: Floats
    in_flight: Floats
    error_share: Floats
    wanted: Floats
    starting: Floats
    ready: Floats
    draining: Floats
    weight: Floats


class Wanted(NamedTuple):
    """What a policy wants of B services: ``replicas`` (whole) and route ``weight``, ``[B, K]``.

    ``demand_rps`` ``[B, K]`` is the load the replicas are sized for: the number that a
    human is shown as the reason.
    """

    replicas: Floats
    weight: Floats
    demand_rps: Floats
