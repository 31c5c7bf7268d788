"""What the simulator, the rules and the codec must know of a service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import Field, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.balancers import Balancer

Floats = NDArray[np.float64]

# Steadier service times are taken as this steady.
LEAST_SCV = 0.05


@dataclass(frozen=True, slots=True)
class BackendProfile:
    """One scalable group of replicas, over which the ``balancer`` spreads the requests.

    ``concurrency`` is slots per replica; ``service_time_s`` is its speed, ``service_scv`` the
    squared coefficient of variation; ``price`` is per replica-second, relative.

    What can befall it, off by default (see ``failures``): ``crash_per_h`` and ``preempt_per_h``
    are per hour of a ready replica, ``preempt_notice_s`` is left to a preempted one to finish;
    ``zone_loss_per_h`` times an hour all are gone, for ``zone_loss_mean_s`` on average. Of its
    answers ``error_share`` are errors, given at once, as by a bad version; of its replicas
    ``slow_share`` take ``slow_factor`` times as long (see ``slow``).
    """

    name: str
    concurrency: int = 4
    service_time_s: float = 0.050
    service_scv: float = 1.0
    startup_mean_s: float = 45.0
    startup_cv: float = 0.2
    price: float = 1.0
    min_replicas: int = 1
    max_replicas: int = 400
    crash_per_h: float = 0.0
    preempt_per_h: float = 0.0
    preempt_notice_s: float = 30.0
    zone_loss_per_h: float = 0.0
    zone_loss_mean_s: float = 600.0
    error_share: float = 0.0
    slow_share: float = 0.0
    slow_factor: float = 3.0
    balancer: Balancer = Balancer.LEAST_REQUEST


@dataclass(frozen=True, slots=True)
class Profile:
    """One service: its SLO, its backends, and how late and how well it is measured.

    Clients try up to ``retries`` times again what fails or takes ``patience_s`` (``retries``).

    Metrics are sampled every ``sample_s`` (0: every tick) and seen ``metric_lag_s`` later. Of
    the samples ``dropout_share`` are lost; ``stall_per_h`` times an hour the pipeline repeats
    what it has under its old time, ``freeze_per_h`` times under a new one, each time for
    ``fault_mean_s`` on average. See ``sensing``.
    """

    name: str
    backends: tuple[BackendProfile, ...]
    slo_latency_s: float = 0.300
    slo_share: float = 0.99
    timeout_s: float = 10.0
    metric_lag_s: float = 0.0
    sample_s: float = 0.0
    dropout_share: float = 0.0
    stall_per_h: float = 0.0
    freeze_per_h: float = 0.0
    fault_mean_s: float = 60.0
    retries: int = 0
    patience_s: float = 1.0


# Stands for what Profile or BackendProfile has as its own default, for each service or backend.
_DEFAULT: Any = None


_ABOVE_0 = {"slo_latency_s", "timeout_s", "concurrency", "service_time_s", "price"}
_SHARES = {"slo_share", "dropout_share", "error_share", "slow_share"}


def merged(
    mine: Any, rows: NDArray[np.bool_], theirs: Any, among: Sequence[Field[Any]]
) -> dict[str, Any]:
    """Some fields' arrays, their first axis' masked ``rows`` taken from ``theirs``."""

    def merge(name: str) -> Any:
        old, new = getattr(mine, name), getattr(theirs, name)
        return np.where(rows.reshape(-1, *[1] * (old.ndim - 1)), new, old)

    return {field.name: merge(field.name) for field in among}


@dataclass(frozen=True, slots=True)
class Profiles:
    """B profiles as arrays: per service ``[B]``, per backend ``[B, K]``.

    Services with fewer than K backends are padded; ``present`` marks the real ones.
    Padding has price, time and concurrency 1 and ``max_replicas`` 0, so that no
    formula divides by zero and no replica is ever placed there. What is off by default is off
    there, and may be left out everywhere.
    """

    slo_latency_s: Floats
    slo_share: Floats
    timeout_s: Floats
    metric_lag_s: Floats
    concurrency: Floats
    service_time_s: Floats
    service_scv: Floats
    startup_mean_s: Floats
    startup_cv: Floats
    price: Floats
    min_replicas: Floats
    max_replicas: Floats
    present: NDArray[np.bool_]
    sample_s: Floats = _DEFAULT
    dropout_share: Floats = _DEFAULT
    stall_per_h: Floats = _DEFAULT
    freeze_per_h: Floats = _DEFAULT
    fault_mean_s: Floats = _DEFAULT
    retries: Floats = _DEFAULT
    patience_s: Floats = _DEFAULT
    crash_per_h: Floats = _DEFAULT
    preempt_per_h: Floats = _DEFAULT
    preempt_notice_s: Floats = _DEFAULT
    zone_loss_per_h: Floats = _DEFAULT
    zone_loss_mean_s: Floats = _DEFAULT
    error_share: Floats = _DEFAULT
    slow_share: Floats = _DEFAULT
    slow_factor: Floats = _DEFAULT
    balancer: Floats = _DEFAULT

    def __post_init__(self) -> None:
        """Fill in what was left out."""
        for kind, shape in ((Profile, self.shape[:1]), (BackendProfile, self.shape)):
            defaults: dict[str, Any] = {field.name: field.default for field in fields(kind)}
            for name, default in defaults.items():
                if getattr(self, name, ...) is _DEFAULT:
                    object.__setattr__(self, name, np.full(shape, float(default)))

    @property
    def shape(self) -> tuple[int, int]:
        """(B services, K backends)."""
        batch, backends = self.present.shape
        return batch, backends

    def check(self) -> None:
        """``ValueError`` names a field with a value that means nothing."""
        for field in fields(Profiles):
            values = np.asarray(getattr(self, field.name), dtype=np.float64)
            above, most = field.name in _ABOVE_0, 1.0 if field.name in _SHARES else np.inf
            right = (values > 0.0 if above else values >= 0.0) & (values <= most)
            if not right.all():
                bounds = "above 0" if above else f"from 0 to {most:g}"
                raise ValueError(f"{field.name} is {values[~right][0]:g}; it must be {bounds}")

    @property
    def least_price(self) -> Floats:
        """What a request costs at least, in the price of a replica-second, ``[B]``."""
        prices = np.where(self.present, self.price / self.replica_rps, np.inf)
        return np.asarray(prices.min(1))

    @property
    def replica_rps(self) -> Floats:
        """Requests per second that one ready replica carries at full utilisation, ``[B, K]``."""
        return self.concurrency / self.service_time_s

    def replaced(self, rows: NDArray[np.bool_], other: Profiles) -> Profiles:
        """These profiles with the masked rows ``[B]`` taken from ``other`` of the same shape."""

        return Profiles(**merged(self, rows, other, fields(Profiles)))

    @classmethod
    def stack(cls, profiles: Sequence[Profile]) -> Profiles:
        """Stack profiles; ``ValueError`` when there is none or one has no backend."""
        if not profiles or not all(profile.backends for profile in profiles):
            raise ValueError("need at least one profile, and a backend in each")
        width = max(len(profile.backends) for profile in profiles)

        def service(name: str) -> Floats:
            return np.array([getattr(profile, name) for profile in profiles], dtype=np.float64)

        # What is 0 by default is off, and no padding has replicas.
        off = {field.name for field in fields(BackendProfile) if not field.default}

        def backend(name: str) -> Floats:
            pad = 0.0 if name in off or name.endswith("_replicas") else 1.0
            rows = [[float(getattr(b, name)) for b in profile.backends] for profile in profiles]
            return np.array([row + [pad] * (width - len(row)) for row in rows])

        columns: dict[str, Any] = {
            field.name: service(field.name)
            for field in fields(Profile)
            if field.name not in ("name", "backends")
        }
        columns |= {field.name: backend(field.name) for field in fields(BackendProfile)[1:]}
        counts = np.array([len(profile.backends) for profile in profiles])
        return cls(**columns, present=np.arange(width) < counts[:, None])
