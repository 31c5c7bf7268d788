"""The queries that ask Prometheus for a service's past, out of its configuration.

They are those that the daemon sees by, one backend at a time, and kube-state-metrics' for replicas.
"""

from __future__ import annotations

import json

from trimtab_controller.config import Config, ServiceConfig
from trimtab_controller.prometheus import BackendQueries, Queries
from trimtab_controller.sensors.prometheus.spec import Key, PrometheusSpec
from trimtab_sim.schema import ConfigError

# Replicas wanted and ready, by the target's kind.
REPLICAS = {
    "Deployment": ("kube_deployment_spec_replicas", "kube_deployment_status_replicas_ready"),
    "StatefulSet": ("kube_statefulset_replicas", "kube_statefulset_status_replicas_ready"),
}


def queries(config: Config, name: str) -> Queries:
    """What to ask of a service, the only one where ``name`` is empty; `ConfigError`."""
    service, server = _service(config, name), config.prometheus
    if server is None:
        raise ConfigError("prometheus is missing: say where it is, or give --queries")
    try:
        keys = service.spec.series(server)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return Queries(
        url=server.url,
        token=server.token,
        ca=server.ca,
        step_s=server.range_s,
        bucket_unit_s=server.bucket_s,
        backends=tuple(
            _backend(service, server, place, key) for place, key in enumerate(keys.values())
        ),
    )


def _service(config: Config, name: str) -> ServiceConfig:
    names = ", ".join(config.by_name)
    if not name and len(config.services) > 1:
        raise ConfigError(f"there are several services: say which with --service: {names}")
    if name and name not in config.by_name:
        raise ConfigError(f"there is no service {name!r}: there is {names}")
    return config.by_name[name] if name else config.services[0]


def _backend(
    service: ServiceConfig, server: PrometheusSpec, place: int, key: Key
) -> BackendQueries:
    asked, backend = server.asked, service.spec.backends[place]
    wanted, ready = _replicas(service, place)
    return BackendQueries(
        name=backend.name,
        wanted=wanted,
        ready=ready,
        rate_rps=_only(asked["rate_rps"], server, key),
        in_flight=_only(asked["in_flight"], server, key),
        latency=_only(f"{server.range_s} * ({asked['latency']})", server, key),
    )


def _replicas(service: ServiceConfig, place: int) -> tuple[str, str]:
    """As kube-state-metrics counts them; several of its replicas count the same."""
    backend, where = service.spec.backends[place], service.spec.kubernetes
    target = backend.target
    if not (target and where) or target.kind not in REPLICAS:
        raise ConfigError(
            f"{service.name}/{backend.name}: how many replicas it had is only known of "
            f"{' and '.join(REPLICAS)}: give --queries"
        )
    labels = (
        f"namespace={json.dumps(where.namespace)},{target.kind.lower()}={json.dumps(target.name)}"
    )
    wanted, ready = (f"max({metric}{{{labels}}})" for metric in REPLICAS[target.kind])
    return wanted, ready


def _only(query: str, server: PrometheusSpec, key: Key) -> str:
    """What ``query`` says of one backend: a matcher cannot be put into it from outside."""
    marked = "vector(1)"
    for label, value in zip(server.series, key, strict=True):
        text = json.dumps(value.replace("$", "$$"))
        marked = f'label_replace({marked}, "{label}", {text}, "", "")'
    return f"({query}) and on ({', '.join(server.series)}) {marked}"
