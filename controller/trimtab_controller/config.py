"""What a human writes down once: the services, their SLOs, prices, ceilings and limits.

The classes below are the file's schema (`trimtab.yaml`; `demo.yaml` is a complete example) and
later the custom resource's. `load` turns the file into what the loop works with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

from trimtab_controller.election.spec import LeaseSpec
from trimtab_controller.kubernetes.spec import Acting, ApiSpec, KubernetesSpec, TargetSpec
from trimtab_controller.security.spec import SecuritySpec
from trimtab_controller.sensors.prometheus.spec import Key, PrometheusSpec
from trimtab_controller.telemetry.spec import MetricsSpec, WebhookSpec
from trimtab_guard.limits import BackendLimits, ClusterLimits, DrillLimits, Limits
from trimtab_guard.modes import Mode
from trimtab_guard.schedule import ALWAYS, Schedule
from trimtab_sim import profile_file
from trimtab_sim.profile import Profile
from trimtab_sim.profile_file import Described, ServiceFile, read_service
from trimtab_sim.schema import (
    ConfigError,
    Count,
    NotNegative,
    Place,
    Positive,
    Range,
    Share,
    check_unique,
    read_file,
    read_mapping,
)


@dataclass(frozen=True, slots=True)
class BackendSpec(profile_file.BackendSpec):
    """One scalable group of replicas, within the guard's limits.

    ``labels`` are its series' own, where the pattern in `PrometheusSpec` does not fit. On
    Kubernetes: its ``target``, how it is scaled (``act``), and the Service that the route knows it
    by, which has the target's name unless ``service`` says otherwise. ``connections_max`` is how
    many a replica can hold open, 0 where nobody knows.
    """

    target: TargetSpec | None = None
    act: Acting = Acting.FLOOR
    service: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    connections_max: NotNegative = 0.0

    def __post_init__(self) -> None:
        # What the guard would refuse is refused here, where its line is known.
        _ = self.limits
        if not self.target and (self.service or self.act is Acting.SCALE):
            raise ValueError(f"backend {self.name!r}: 'act' and 'service' are for a 'target'")
        if self.target and self.act is Acting.FLOOR and not self.min_replicas:
            raise ValueError(
                f"backend {self.name!r}: min_replicas is 0, but a HorizontalPodAutoscaler keeps "
                "at least 1: write 1, or `act: scale`"
            )

    @property
    def limits(self) -> BackendLimits:
        """What the guard must know of it; ``ValueError`` names a field out of range."""
        return BackendLimits(
            self.name,
            self.min_replicas,
            self.max_replicas,
            capacity_rps=self.concurrency / self.service_time_s,
            price=self.price,
        )


@dataclass(frozen=True, slots=True)
class ApprovalSpec:
    """How long an envelope waits for an answer, and how long a granted one holds."""

    wait_s: Positive = 900.0
    grant_s: Positive = 3600.0


@dataclass(frozen=True, slots=True)
class JournalSpec:
    """How many days the journal keeps in full; 0 is for ever.

    What is older goes to a file in the folder ``archive`` first, if there is one.
    """

    keep_days: NotNegative = 0.0
    archive: str = ""


@dataclass(frozen=True, slots=True)
class MoneySpec:
    """What a replica of price 1 costs an hour, and in which currency."""

    currency: str = "replica-hours"
    replica_hour: Positive = 1.0


@dataclass(frozen=True, slots=True)
class GatesSpec:
    """What the evidence must show before the next mode is recommended.

    So many whole ``days``, of which ``fresh_share`` was seen; with 95 % confidence at most
    ``extra_misses`` more of all requests miss and at least ``saving`` of the cost is saved; the
    guard changes at most ``interventions`` of the proposals.
    """

    days: Count = 14
    fresh_share: Share = 0.95
    extra_misses: Share = 0.001
    saving: Annotated[float, Range(least=0.0, most=1.0)] = 0.0
    interventions: Share = 0.25


@dataclass(frozen=True, slots=True)
class StageSpec:
    """Where the service lives: the Unix socket of the local stage."""

    socket: str


class Sensing(Enum):
    """Where a service's signals come from.

    Envoy's own counters, Prometheus, or whoever calls `ReportMetrics`.
    """

    ENVOY = "envoy"
    PROMETHEUS = "prometheus"
    PUSHED = "pushed"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec(Described):
    """One service as written in the file.

    It lives on the local ``stage`` or on ``kubernetes``. ``miss_price`` is lambda of the score; no
    mode above ``ceiling`` can be set; ``limits`` override the guard's defaults; without asking,
    trimtab acts only when ``schedule`` allows it, and without ``drills`` nothing is broken on
    purpose. ``fitted`` is a file of `trimtab fit`, which the evidence goes by.
    """

    ceiling: Mode
    miss_price: Annotated[float, Range(least=1.0, most=1000.0)]
    backends: tuple[BackendSpec, ...]
    stage: StageSpec | None = None
    kubernetes: KubernetesSpec | None = None
    sensor: Sensing = Sensing.ENVOY
    schedule: Schedule = ALWAYS
    limits: Place | None = None
    drills: DrillLimits | None = None
    fitted: str = ""

    def __post_init__(self) -> None:
        Described.__post_init__(self)
        if (self.stage is None) == (self.kubernetes is None):
            raise ValueError("exactly one of 'stage' and 'kubernetes' must be there")
        if self.kubernetes:
            self._check_kubernetes(self.kubernetes)
        elif placed := [backend.name for backend in self.backends if backend.target]:
            raise ValueError(f"backend {placed[0]!r}: a target is for 'kubernetes', not 'stage'")

    def _check_kubernetes(self, kubernetes: KubernetesSpec) -> None:
        for backend in self.backends:
            if not backend.target:
                raise ValueError(
                    f"backend {backend.name!r}: 'target' is missing: add "
                    "{kind: Deployment, name: …}"
                )
        if len(self.backends) > 1 and not kubernetes.route:
            raise ValueError("kubernetes.route is missing: name the HTTPRoute of these backends")
        if self.sensor is Sensing.ENVOY:
            raise ValueError(
                "sensor: envoy reads the local stage: write prometheus or pushed with 'kubernetes'"
            )

    def series(self, prometheus: PrometheusSpec) -> dict[str, Key]:
        """How each backend's series are labelled; ``ValueError`` says what cannot be filled in."""
        return {b.name: prometheus.key(self._called(b), b.labels) for b in self.backends}

    def _called(self, backend: BackendSpec) -> dict[str, str]:
        """What a backend is called, here and on Kubernetes."""
        called = {"service": self.name, "backend": backend.name}
        if self.kubernetes and backend.target:
            called["namespace"] = self.kubernetes.namespace
            called["target"] = backend.target.name
            called["backend_service"] = backend.service or backend.target.name
        return called

    @property
    def owned(self) -> tuple[str, ...]:
        """What is this service's alone on Kubernetes, in words: its targets and its route."""
        if not self.kubernetes:
            return ()
        route = (f"HTTPRoute {self.kubernetes.route}",) if self.kubernetes.route else ()
        things = (*(str(backend.target) for backend in self.backends), *route)
        return tuple(f"{thing} in namespace {self.kubernetes.namespace}" for thing in things)


@dataclass(frozen=True, slots=True)
class ConfigSpec:
    """The whole file.

    ``speed`` is for demonstrations: how much faster than life their trace runs. The policy sees
    its time so, and every window of the limits shrinks by it. ``cluster`` limits what all
    services may do together; with a ``lease``, one of several daemons leads.
    """

    services: tuple[ServiceSpec, ...]
    tick_s: Positive = 5.0
    speed: Positive = 1.0
    approval: ApprovalSpec = ApprovalSpec()
    cluster: ClusterLimits = field(default_factory=ClusterLimits)
    journal: JournalSpec = JournalSpec()
    security: SecuritySpec = field(default_factory=SecuritySpec)
    metrics: MetricsSpec | None = None
    webhook: WebhookSpec | None = None
    prometheus: PrometheusSpec | None = None
    money: MoneySpec = MoneySpec()
    gates: GatesSpec = GatesSpec()
    kubernetes: ApiSpec = field(default_factory=ApiSpec)
    lease: LeaseSpec | None = None

    def __post_init__(self) -> None:
        names = [service.name for service in self.services]
        check_unique("service", names)
        check_unique("object", [one for service in self.services for one in service.owned])
        self.security.check_services(names)
        self._check_series()

    def _check_series(self) -> None:
        """``ValueError`` when it cannot be told which of Prometheus' series is whose."""
        watched = [each for each in self.services if each.sensor is Sensing.PROMETHEUS]
        if not watched:
            return
        if not self.prometheus:
            raise ValueError(
                f"{watched[0].name} has `sensor: prometheus`: add `prometheus: {{url: …}}`"
            )
        owners: dict[Key, str] = {}
        for service in watched:
            for backend, key in service.series(self.prometheus).items():
                if other := owners.get(key):
                    raise ValueError(
                        f"{service.name}/{backend} and {other} have the same series in Prometheus, "
                        f"{', '.join(key)}: set `labels` of one, or prometheus.labels"
                    )
                owners[key] = f"{service.name}/{backend}"


@dataclass(frozen=True, slots=True)
class ServiceConfig:
    """One service, checked and complete. ``fitted`` is what was measured of it, if anybody did."""

    spec: ServiceSpec
    profile: Profile
    limits: Limits
    fitted: ServiceFile | None = None
    limits_digest: str = field(init=False)
    """Names these limits: an approval given under others does not count."""

    def __post_init__(self) -> None:
        digest = sha256(repr(self.limits).encode()).hexdigest()[:12]
        object.__setattr__(self, "limits_digest", digest)  # frozen for all others

    @property
    def name(self) -> str:
        """As everybody calls the service."""
        return self.spec.name

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends' names, in the configured order."""
        return tuple(backend.name for backend in self.profile.backends)


@dataclass(frozen=True, slots=True)
class Config:
    """The services, what they share, the tick and a replay's speed; who may call, who is told."""

    services: tuple[ServiceConfig, ...]
    tick_s: float
    speed: float
    approval: ApprovalSpec
    cluster: ClusterLimits
    journal: JournalSpec
    security: SecuritySpec
    metrics: MetricsSpec | None
    webhook: WebhookSpec | None
    prometheus: PrometheusSpec | None = None
    money: MoneySpec = MoneySpec()
    gates: GatesSpec = GatesSpec()
    kubernetes: ApiSpec = field(default_factory=ApiSpec)
    lease: LeaseSpec | None = None

    @property
    def by_name(self) -> dict[str, ServiceConfig]:
        """The services by their names."""
        return {service.name: service for service in self.services}


def load(file: Path) -> Config:
    """Read and check ``file``; raises `ConfigError` that names file, line and the fix."""
    spec = read_file(file, ConfigSpec)
    try:
        services = tuple(
            ServiceConfig(
                service, service.profile, _limits(service, spec), _fitted(service, file.parent)
            )
            for service in spec.services
        )
        cluster = spec.cluster.scaled(spec.speed)
    except ValueError as error:
        raise ConfigError(f"{file}: at speed {spec.speed:g}: {error}") from error
    security = spec.security.within(file.parent)
    return Config(
        services=services,
        tick_s=spec.tick_s,
        speed=spec.speed,
        approval=spec.approval,
        cluster=cluster,
        journal=spec.journal,
        security=security,
        metrics=spec.metrics,
        webhook=spec.webhook.within(file.parent) if spec.webhook else None,
        prometheus=spec.prometheus.within(file.parent) if spec.prometheus else None,
        money=spec.money,
        gates=spec.gates,
        kubernetes=spec.kubernetes,
        lease=spec.lease,
    )


def _fitted(service: ServiceSpec, folder: Path) -> ServiceFile | None:
    """The file of `trimtab fit`; `ConfigError` when it is of other backends."""
    if not service.fitted:
        return None
    fitted = read_service(folder / service.fitted)
    names = [backend.name for backend in service.backends]
    if [backend.name for backend in fitted.backends] != names:
        raise ConfigError(
            f"{folder / service.fitted}: must have the backends of {service.name}, in their "
            f"order: {', '.join(names)}"
        )
    return fitted


def _limits(service: ServiceSpec, spec: ConfigSpec) -> Limits:
    """The guard's defaults, the file's overrides and the backends' bounds, at the file's speed."""
    given: dict[str, Any] = {
        "service": service.name,
        "backends": tuple(backend.limits for backend in service.backends),
        "interval_s": spec.tick_s,
    }
    limits: Limits = (
        read_mapping(service.limits, Limits, given) if service.limits else Limits(**given)
    )
    return limits.scaled(spec.speed)
