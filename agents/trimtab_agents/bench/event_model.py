"""What the fast simulator's verdicts are checked against: its services request by request.

Of ``trimtab_sim`` it shares the arrays that go in and come out, but none of the physics.
"""

from __future__ import annotations

import numpy as np

from trimtab_agents.bench.event_service import EventService
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed
from trimtab_sim.simulator import Tick


class EventModel:
    """The same services as a ``Simulator`` of ``profiles``, stepped and sensed in the same way."""

    def __init__(self, profiles: Profiles, tick_s: float, rng: np.random.Generator) -> None:
        if profiles.shape[1] != 1:
            raise ValueError(f"the event model is for one backend, not {profiles.shape[1]}")
        self._profiles, self._tick_s = profiles, tick_s
        self._rngs = rng.spawn(profiles.shape[0])
        self._lag = np.rint(profiles.metric_lag_s / tick_s).astype(np.int64)

    def reset(self, replicas: Floats, weight: Floats) -> Sensed:
        """Start with ``replicas`` ready ``[B, 1]`` and empty queues; nothing is measured yet."""
        self._services = [
            EventService(self._profiles, row, int(replicas[row, 0]), rng)
            for row, rng in enumerate(self._rngs)
        ]
        self._weight, self._wanted, self._ticks = weight, replicas, 0
        # Rates, requests in flight and share of misses, tick by tick.
        nothing = np.full((3, len(replicas)), np.nan)
        self._readings = [nothing] * (int(self._lag.max()) + 1)
        return self._sense()

    def step(self, rate_rps: Floats, wanted: Floats, weight: Floats) -> Tick:  # noqa: ARG002 # the simulator's: one backend takes all
        """Let one tick pass."""
        limits = self._profiles
        before = np.array([[one.starting + one.ready] for one in self._services])
        self._wanted = np.rint(wanted).clip(limits.min_replicas, limits.max_replicas)
        counts = [
            service.tick(float(rate), int(count), self._tick_s)
            for service, rate, count in zip(
                self._services, rate_rps, self._wanted[:, 0], strict=True
            )
        ]
        requests = np.array([float(count.requests) for count in counts])
        misses = np.array([float(count.misses) for count in counts])
        in_flight = np.array([count.in_flight for count in counts])
        share = misses / np.maximum(requests, 1.0)
        reading = np.stack([requests / self._tick_s, in_flight, share.clip(0.0, 1.0)])
        self._readings = [*self._readings[1:], reading]
        self._ticks += 1
        change = self._wanted - before
        return Tick(
            requests=requests,
            misses=misses,
            billed_s=np.array([[count.billed_s] for count in counts]),
            started=change.clip(0.0),
            stopped=(-change).clip(0.0),
            sensed=self._sense(),
        )

    def _sense(self) -> Sensed:
        rows = np.arange(len(self._lag))
        seen = np.stack(self._readings)[-1 - self._lag, :, rows]

        def counted(name: str) -> Floats:
            return np.array([[float(getattr(one, name))] for one in self._services])

        return Sensed(
            time_s=np.full(len(rows), self._ticks * self._tick_s),
            age_s=self._profiles.metric_lag_s,
            miss_share=seen[:, 2],
            rate_rps=seen[:, :1],
            in_flight=seen[:, 1:2],
            error_share=np.where(np.isnan(seen[:, :1]), np.nan, 0.0),
            wanted=self._wanted,
            starting=counted("starting"),
            ready=counted("ready"),
            draining=counted("draining"),
            weight=self._weight,
        )
