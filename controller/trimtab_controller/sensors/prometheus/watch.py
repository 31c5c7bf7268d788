"""Asks again and again, beside the loop: a slow Prometheus makes readings old, never ticks late."""

from __future__ import annotations

import threading
from collections.abc import Callable

from trimtab_controller.protocols import Clock, SensorError
from trimtab_controller.sensors.prometheus.client import Client
from trimtab_controller.sensors.prometheus.spec import PrometheusSpec
from trimtab_controller.sensors.prometheus.survey import Survey, survey

# After so many intervals without an answer, and one more time-out, the last one counts no more.
PATIENCE = 2.0
# How long whoever is first may wait for the first answer: all services' first tick would be blind.
FIRST_S = 2.0
# What a daemon that ends waits for a question on its way.
GRACE_S = 1.0


class Watch:
    """Calls ``ask`` every ``interval_s`` from its beginning until ``close``, in its own thread."""

    def __init__(
        self, ask: Callable[[], Survey], interval_s: float, patience_s: float, monotonic: Clock
    ) -> None:
        """An answer that is older than ``patience_s`` counts no more."""
        self._ask = ask
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._monotonic = monotonic
        self._latest: Survey | SensorError = SensorError("Prometheus was not asked yet")
        self._asked_s = self._began_s = monotonic()
        self._answered = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._live, name="prometheus", daemon=True)
        self._thread.start()

    def latest(self) -> Survey:
        """The latest answer; `SensorError` when there is none, or has been none for long."""
        self._answered.wait(max(0.0, self._began_s + FIRST_S - self._monotonic()))
        silent_s = self._monotonic() - self._asked_s
        if silent_s > self._patience_s:
            raise SensorError(f"Prometheus has not answered for {silent_s:.0f} s")
        if isinstance(latest := self._latest, SensorError):
            raise SensorError(str(latest)) from latest
        return latest

    def close(self) -> None:
        """Ask no more."""
        self._ended.set()
        self._thread.join(GRACE_S)

    def _live(self) -> None:
        wait_s = 0.0
        while not self._ended.wait(wait_s):
            begin_s = self._monotonic()
            self._latest = self._answer()
            self._asked_s = begin_s
            self._answered.set()
            wait_s = max(0.0, begin_s + self._interval_s - self._monotonic())

    def _answer(self) -> Survey | SensorError:
        try:
            return self._ask()
        except SensorError as error:
            return error
        except Exception as error:  # else nobody would ask any more
            return SensorError(f"Prometheus: {error!r}")


def watch(spec: PrometheusSpec, interval_s: float, monotonic: Clock) -> Watch:
    """Watch the Prometheus of a configuration."""
    client = Client(spec)
    patience_s = PATIENCE * interval_s + spec.timeout_s
    return Watch(lambda: survey(client, spec), interval_s, patience_s, monotonic)
