"""The services: two Deployments with an HPA each, a route, a budget, and the pods of all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml
from tests.cluster.fake.api import Api, Call
from tests.cluster.objects import autoscaler, deployment, disruption_budget, pod, route

Object = dict[str, Any]

PER_NAMESPACE = 50
BACKENDS = ("on-demand", "spot")
REPLICAS, MOST = 3, 40
READY = [{"type": "Ready", "status": "True"}]


def place(number: int) -> tuple[str, str]:
    """Namespace and name of a service."""
    return f"team-{number // PER_NAMESPACE:02}", f"service-{number:04}"


def settle(api: Api, services: int) -> None:
    """Everything is there, and every pod is ready."""
    for namespace in sorted({place(number)[0] for number in range(services)}):
        create(api, "", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for number in range(services):
        namespace, name = place(number)
        create(api, namespace, route(name, {f"{name}-{each}": 50 for each in BACKENDS}))
        for each in BACKENDS:
            _backend(api, namespace, f"{name}-{each}")


def _backend(api: Api, namespace: str, name: str) -> None:
    create(api, namespace, deployment(name, 0))
    create(api, namespace, autoscaler(name, REPLICAS, MOST))
    create(api, namespace, disruption_budget(name, 1))
    scale(api, namespace, name, REPLICAS)


def create(api: Api, namespace: str, thing: Object) -> None:
    """As a human would."""
    kind = api.registry.named(thing["apiVersion"], thing["kind"])
    api.answer(Call("create", kind, namespace, body=thing, agent="human"))


def patch(
    api: Api, kind: tuple[str, str], key: tuple[str, str], change: Object, subresource: str = ""
) -> None:
    """As a controller would."""
    api.answer(
        Call(
            "patch",
            api.registry.named(*kind),
            *key,
            subresource=subresource,
            body=change,
            media_type="application/merge-patch+json",
            agent="kube-controller-manager",
        )
    )


def scale(api: Api, namespace: str, name: str, replicas: int) -> None:
    """What the controllers and kubelets of a real cluster would make of it, at once."""
    target, key = ("apps/v1", "Deployment"), (namespace, name)
    patch(api, target, key, {"spec": {"replicas": replicas}}, "scale")
    pods = api.registry.named("v1", "Pod")
    there = [number for number in range(MOST) if api.store.find(pods, _pod(key, number))]
    for number in set(range(replicas)) - set(there):
        made = pod(_pod(key, number)[1], {"app": name}, node=f"node-{number}")
        create(api, namespace, made)
        status = {"phase": "Running", "conditions": READY}
        patch(api, ("v1", "Pod"), _pod(key, number), {"status": status}, "status")
    for number in set(there) - set(range(replicas)):
        options = {"gracePeriodSeconds": 0}
        api.answer(Call("delete", pods, *_pod(key, number), body=options))
    counts = dict.fromkeys(
        ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), replicas
    )
    generation = api.store.get(api.registry.named(*target), key)["metadata"]["generation"]
    patch(api, target, key, {"status": {"observedGeneration": generation, **counts}}, "status")


def _pod(key: tuple[str, str], number: int) -> tuple[str, str]:
    return key[0], f"{key[1]}-{number}"


def configuration(services: int, at_once: int, prometheus: str, metrics: str, tick_s: float) -> str:
    """The daemon's trimtab.yaml; ``at_once``: how many services may change within a minute."""
    queries = ("rate_rps", "in_flight", "error_share", "answers_rps", "failed_rps", "latency")
    return yaml.safe_dump(
        {
            "tick_s": tick_s,
            "prometheus": {
                "url": prometheus,
                "labels": {"service": "$service", "backend": "$backend"},
                "queries": {name: name for name in (*queries, "time")},
                "bucket_unit_s": 1.0,
            },
            "metrics": {"listen": metrics},
            "cluster": {"services_at_once": at_once},
            "services": [_service(number) for number in range(services)],
        },
        sort_keys=False,
    )


def _service(number: int) -> Object:
    namespace, name = place(number)
    return {
        "name": name,
        "kubernetes": {"namespace": namespace, "route": name},
        "sensor": "prometheus",
        "ceiling": "guarded",
        "slo": {"latency_s": 0.3, "share": 0.99},
        "miss_price": 50,
        "timeout_s": 10,
        "backends": list(_backends(name)),
    }


def _backends(name: str) -> Iterator[Object]:
    for each, price in zip(BACKENDS, (1.0, 0.4), strict=True):
        yield {
            "name": each,
            "target": {"kind": "Deployment", "name": f"{name}-{each}"},
            "concurrency": 4,
            "service_time_s": 0.05,
            "service_scv": 1,
            "startup_mean_s": 30,
            "startup_cv": 0.2,
            "price": price,
            "min_replicas": 1,
            "max_replicas": MOST,
        }
