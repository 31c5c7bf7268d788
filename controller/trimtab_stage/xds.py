"""What Envoy is told: pure functions from a snapshot of the stage to Envoy's own configuration.

Written as Envoy's documentation writes it, so that every field can be looked up there.
The names that a sensor needs: the listener counts as ``http.<service>.…``, backend ``spot`` is the
cluster ``spot``, variant ``v1`` is ``copy-v1``; of the listener only ``downstream_rq_…`` is kept,
of backends only ``upstream_rq_…``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.message import Message

from trimtab_sim.profile import Profile

TYPE = "type.googleapis.com/"
CDS, EDS, LDS, RDS = (
    TYPE + message.DESCRIPTOR.full_name
    for message in (Cluster, ClusterLoadAssignment, Listener, RouteConfiguration)
)

# Envoy's weights are whole numbers; a share is this many parts, of a mirror so many.
WEIGHT_PARTS = 100_000
MIRROR_PARTS = 1_000_000
# What the clusters of variants begin with: their counters are kept, whatever they are called.
MIRROR = "copy-"
UNLIMITED = 1_000_000
FROM_ADS = {"ads": {}, "resource_api_version": "V3"}
BUCKETS_MS = (1, 5, 10, 25, 50, 75, 100, 150, 200, 250, 300, 400, 500, 750, 1000, 2500, 5000, 10000)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Per backend: the sockets of its replicas, and its parts of the route.

    ``mirrors`` are clusters that get copies of so many parts of all requests.
    """

    endpoints: Mapping[str, tuple[str, ...]]
    weights: Mapping[str, int]
    mirrors: Mapping[str, int] = field(default_factory=dict)

    def share(self, backend: str) -> float:
        """The backend's share of the route, 0 to 1."""
        return self.weights[backend] / sum(self.weights.values())


def route_weights(shares: Mapping[str, float], serving: Collection[str]) -> dict[str, int]:
    """Return parts of the route, none to a backend that has no replica to serve them.

    When none has, the shares stand: Envoy takes no route whose weights sum to zero.
    """
    able = {b: share if b in serving else 0.0 for b, share in shares.items()}
    able = able if sum(able.values()) > 0 else dict(shares)
    total = sum(able.values())
    return {backend: round(WEIGHT_PARTS * share / total) for backend, share in able.items()}


def steps(before: Snapshot | None, after: Snapshot) -> list[Snapshot]:
    """Return the way from ``before`` to ``after`` on which no weight meets an empty backend.

    New endpoints first, then weights and mirrors, then old endpoints go.
    """
    if before is None:
        return [after]
    both = {
        cluster: tuple(
            dict.fromkeys((*before.endpoints.get(cluster, ()), *after.endpoints.get(cluster, ())))
        )
        for cluster in {**before.endpoints, **after.endpoints}
    }
    way = [before, replace(before, endpoints=both), replace(after, endpoints=both), after]
    return [step for last, step in pairwise(way) if step != last]


def resources(snapshot: Snapshot, profile: Profile) -> dict[str, list[Message]]:
    """Return what changes with a snapshot, by type, in the order in which Envoy must learn it."""
    return {
        CDS: [_cluster(name) for name in snapshot.endpoints],
        EDS: [_assignment(name, sockets) for name, sockets in snapshot.endpoints.items()],
        RDS: [_route(snapshot, profile)],
    }


def listeners(profile: Profile, port: int) -> list[Message]:
    """Return what never changes: the one listener."""
    return [_listener(profile.name, port)]


def _assignment(cluster: str, sockets: Sequence[str]) -> Message:
    endpoints = [{"endpoint": {"address": {"pipe": {"path": path}}}} for path in sockets]
    document = {"cluster_name": cluster, "endpoints": [{"lb_endpoints": endpoints}]}
    return _message(document, ClusterLoadAssignment())


def _cluster(name: str) -> Message:
    limits = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
    document = {
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": FROM_ADS},
        "lb_policy": "LEAST_REQUEST",
        "connect_timeout": "1s",
        # The queue belongs into the replicas: Envoy's default limits would answer 503 instead.
        "circuit_breakers": {"thresholds": [dict.fromkeys(limits, UNLIMITED)]},
    }
    return _message(document, Cluster())


def _listener(service: str, port: int) -> Message:
    manager = {
        "@type": TYPE + hcm_pb2.HttpConnectionManager.DESCRIPTOR.full_name,
        "stat_prefix": service,
        "rds": {"route_config_name": service, "config_source": FROM_ADS},
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": TYPE + router_pb2.Router.DESCRIPTOR.full_name},
            }
        ],
    }
    document = {
        "name": service,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        # With it a busy port would be shared in silence.
        "enable_reuse_port": False,
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return _message(document, Listener())


def _route(snapshot: Snapshot, profile: Profile) -> Message:
    # A replica that dies takes its connections along: what it held is asked again elsewhere.
    previous_hosts = previous_hosts_pb2.PreviousHostsPredicate.DESCRIPTOR.full_name
    retries = {
        "retry_on": "reset,connect-failure,refused-stream",
        "num_retries": 5,
        "retry_back_off": {"base_interval": "0.005s", "max_interval": "0.1s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {"@type": TYPE + previous_hosts},
            }
        ],
        "host_selection_retry_max_attempts": 5,
    }
    clusters = [{"name": name, "weight": parts} for name, parts in snapshot.weights.items()]
    route = {
        "match": {"prefix": "/"},
        "route": {
            "weighted_clusters": {"clusters": clusters},
            "timeout": f"{profile.timeout_s}s",
            "retry_policy": retries,
            "request_mirror_policies": [_mirror(*each) for each in snapshot.mirrors.items()],
        },
    }
    host = {"name": profile.name, "domains": ["*"], "routes": [route]}
    return _message({"name": profile.name, "virtual_hosts": [host]}, RouteConfiguration())


def _mirror(cluster: str, parts: int) -> dict[str, Any]:
    """All mirrors with the same parts get the very same requests: Envoy draws once for each."""
    fraction = {"numerator": parts, "denominator": "MILLION"}
    return {"cluster": cluster, "runtime_fraction": {"default_value": fraction}}


def _message(document: dict[str, Any], message: Message) -> Message:
    ParseDict(document, message)
    return message


def bootstrap(profile: Profile, admin_socket: str, xds_socket: str) -> dict[str, Any]:
    """Return the file that Envoy starts from: where its admin is and where to ask for the rest."""
    return {
        "node": {"id": "stage", "cluster": profile.name},
        "admin": {"address": {"pipe": {"path": admin_socket}}},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "cds_config": FROM_ADS,
            "lds_config": FROM_ADS,
        },
        "static_resources": {"clusters": [_xds_cluster(xds_socket)]},
        "stats_flush_interval": "0.1s",
        "stats_config": _stats(profile),
    }


def _xds_cluster(socket: str) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": {"pipe": {"path": socket}}}}
    http2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {
        "name": "xds",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            http2: {"@type": TYPE + http2, "explicit_http_config": {"http2_protocol_options": {}}}
        },
        "load_assignment": {"cluster_name": "xds", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


def _stats(profile: Profile) -> dict[str, Any]:
    """Keep only what is sensed; a bucket ends just below the SLO, so that misses are exact.

    1 ms below, because Envoy counts a bin (10 ms wide here) into every edge that it touches.
    """
    slo_ms = profile.slo_latency_s * 1e3
    buckets_ms = sorted({*BUCKETS_MS, slo_ms - 1} - {slo_ms})
    kept = ["http.admin.downstream_rq_total", f"http.{profile.name}.downstream_rq_"]
    kept += [
        f"cluster.{backend.name}.upstream_{what}"
        for backend in profile.backends
        for what in ("rq_", "cx_active")
    ]
    kept += [f"cluster.{MIRROR}"]
    return {
        "stats_matcher": {"inclusion_list": {"patterns": [{"prefix": name} for name in kept]}},
        "histogram_bucket_settings": [
            {"match": {"prefix": prefix}, "buckets": buckets_ms} for prefix in ("http.", "cluster.")
        ],
    }
