"""Gives every service the sensor that its configuration names."""

from __future__ import annotations

import time
from contextlib import ExitStack

from trimtab_controller.config import Config, Sensing, ServiceConfig
from trimtab_controller.protocols import Sensor
from trimtab_controller.sensors.envoy import EnvoySensor
from trimtab_controller.sensors.prometheus.sensor import PrometheusSensor
from trimtab_controller.sensors.prometheus.spec import PrometheusSpec
from trimtab_controller.sensors.prometheus.watch import Watch, watch
from trimtab_controller.sensors.pushed import PushedSensor


def start(config: Config, parts: ExitStack) -> dict[str, Sensor]:
    """Each service's sensor; those that see through Prometheus share one `Watch`."""
    through = [each for each in config.services if each.spec.sensor is Sensing.PROMETHEUS]
    sensors: dict[str, Sensor] = {
        each.name: _own(each) for each in config.services if each not in through
    }
    if through and (spec := config.prometheus):
        watching = watch(spec, config.tick_s, time.monotonic)
        parts.callback(watching.close)
        sensors |= {each.name: _shared(each, spec, watching) for each in through}
    return sensors


def _own(config: ServiceConfig) -> Sensor:
    if config.spec.sensor is Sensing.PUSHED:
        return PushedSensor(config.name)
    return EnvoySensor(config.name, config.backends, config.profile.slo_latency_s, time.time)


def _shared(config: ServiceConfig, spec: PrometheusSpec, watching: Watch) -> Sensor:
    keys = config.spec.series(spec)
    return PrometheusSensor(keys, config.profile.slo_latency_s, spec, watching.latest)
