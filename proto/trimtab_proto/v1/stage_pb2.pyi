from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetStatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StageStatus(_message.Message):
    __slots__ = ("service", "time_s", "resource_version", "backends", "envoy_admin_socket", "port", "profile", "load", "last_writer", "epoch", "leader")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    ENVOY_ADMIN_SOCKET_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    PROFILE_FIELD_NUMBER: _ClassVar[int]
    LOAD_FIELD_NUMBER: _ClassVar[int]
    LAST_WRITER_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    service: str
    time_s: float
    resource_version: str
    backends: _containers.RepeatedCompositeFieldContainer[StageBackend]
    envoy_admin_socket: str
    port: int
    profile: StageProfile
    load: LoadStatus
    last_writer: str
    epoch: int
    leader: str
    def __init__(self, service: _Optional[str] = ..., time_s: _Optional[float] = ..., resource_version: _Optional[str] = ..., backends: _Optional[_Iterable[_Union[StageBackend, _Mapping]]] = ..., envoy_admin_socket: _Optional[str] = ..., port: _Optional[int] = ..., profile: _Optional[_Union[StageProfile, _Mapping]] = ..., load: _Optional[_Union[LoadStatus, _Mapping]] = ..., last_writer: _Optional[str] = ..., epoch: _Optional[int] = ..., leader: _Optional[str] = ...) -> None: ...

class StageBackend(_message.Message):
    __slots__ = ("name", "wanted", "starting", "ready", "draining", "floor", "weight", "billed_replica_s", "started", "stopped", "crashed", "outdated", "memory_bytes", "memory_limit_bytes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    STARTING_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    BILLED_REPLICA_S_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    CRASHED_FIELD_NUMBER: _ClassVar[int]
    OUTDATED_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_LIMIT_BYTES_FIELD_NUMBER: _ClassVar[int]
    name: str
    wanted: int
    starting: int
    ready: int
    draining: int
    floor: int
    weight: float
    billed_replica_s: float
    started: int
    stopped: int
    crashed: int
    outdated: int
    memory_bytes: int
    memory_limit_bytes: int
    def __init__(self, name: _Optional[str] = ..., wanted: _Optional[int] = ..., starting: _Optional[int] = ..., ready: _Optional[int] = ..., draining: _Optional[int] = ..., floor: _Optional[int] = ..., weight: _Optional[float] = ..., billed_replica_s: _Optional[float] = ..., started: _Optional[int] = ..., stopped: _Optional[int] = ..., crashed: _Optional[int] = ..., outdated: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., memory_limit_bytes: _Optional[int] = ...) -> None: ...

class StageProfile(_message.Message):
    __slots__ = ("slo_latency_s", "slo_share", "timeout_s", "backends")
    SLO_LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    SLO_SHARE_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    slo_latency_s: float
    slo_share: float
    timeout_s: float
    backends: _containers.RepeatedCompositeFieldContainer[StageBackendProfile]
    def __init__(self, slo_latency_s: _Optional[float] = ..., slo_share: _Optional[float] = ..., timeout_s: _Optional[float] = ..., backends: _Optional[_Iterable[_Union[StageBackendProfile, _Mapping]]] = ...) -> None: ...

class StageBackendProfile(_message.Message):
    __slots__ = ("name", "concurrency", "service_time_s", "service_scv", "startup_mean_s", "startup_cv", "price", "min_replicas", "max_replicas")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONCURRENCY_FIELD_NUMBER: _ClassVar[int]
    SERVICE_TIME_S_FIELD_NUMBER: _ClassVar[int]
    SERVICE_SCV_FIELD_NUMBER: _ClassVar[int]
    STARTUP_MEAN_S_FIELD_NUMBER: _ClassVar[int]
    STARTUP_CV_FIELD_NUMBER: _ClassVar[int]
    PRICE_FIELD_NUMBER: _ClassVar[int]
    MIN_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    MAX_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    name: str
    concurrency: int
    service_time_s: float
    service_scv: float
    startup_mean_s: float
    startup_cv: float
    price: float
    min_replicas: int
    max_replicas: int
    def __init__(self, name: _Optional[str] = ..., concurrency: _Optional[int] = ..., service_time_s: _Optional[float] = ..., service_scv: _Optional[float] = ..., startup_mean_s: _Optional[float] = ..., startup_cv: _Optional[float] = ..., price: _Optional[float] = ..., min_replicas: _Optional[int] = ..., max_replicas: _Optional[int] = ...) -> None: ...

class LoadStatus(_message.Message):
    __slots__ = ("trace", "speed", "trace_time_s", "offered_rps", "requests", "misses", "failed", "lag_s", "worst_lag_s", "alive")
    TRACE_FIELD_NUMBER: _ClassVar[int]
    SPEED_FIELD_NUMBER: _ClassVar[int]
    TRACE_TIME_S_FIELD_NUMBER: _ClassVar[int]
    OFFERED_RPS_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    LAG_S_FIELD_NUMBER: _ClassVar[int]
    WORST_LAG_S_FIELD_NUMBER: _ClassVar[int]
    ALIVE_FIELD_NUMBER: _ClassVar[int]
    trace: str
    speed: float
    trace_time_s: float
    offered_rps: float
    requests: int
    misses: int
    failed: int
    lag_s: float
    worst_lag_s: float
    alive: bool
    def __init__(self, trace: _Optional[str] = ..., speed: _Optional[float] = ..., trace_time_s: _Optional[float] = ..., offered_rps: _Optional[float] = ..., requests: _Optional[int] = ..., misses: _Optional[int] = ..., failed: _Optional[int] = ..., lag_s: _Optional[float] = ..., worst_lag_s: _Optional[float] = ..., alive: _Optional[bool] = ...) -> None: ...

class ApplyRequest(_message.Message):
    __slots__ = ("service", "request_id", "resource_version", "writer", "backends", "epoch", "leader")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESOURCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    service: str
    request_id: str
    resource_version: str
    writer: str
    backends: _containers.RepeatedCompositeFieldContainer[BackendAsk]
    epoch: int
    leader: str
    def __init__(self, service: _Optional[str] = ..., request_id: _Optional[str] = ..., resource_version: _Optional[str] = ..., writer: _Optional[str] = ..., backends: _Optional[_Iterable[_Union[BackendAsk, _Mapping]]] = ..., epoch: _Optional[int] = ..., leader: _Optional[str] = ...) -> None: ...

class BackendAsk(_message.Message):
    __slots__ = ("name", "floor", "weight", "restart")
    NAME_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    RESTART_FIELD_NUMBER: _ClassVar[int]
    name: str
    floor: int
    weight: float
    restart: bool
    def __init__(self, name: _Optional[str] = ..., floor: _Optional[int] = ..., weight: _Optional[float] = ..., restart: _Optional[bool] = ...) -> None: ...

class ApplyReply(_message.Message):
    __slots__ = ("resource_version", "applied")
    RESOURCE_VERSION_FIELD_NUMBER: _ClassVar[int]
    APPLIED_FIELD_NUMBER: _ClassVar[int]
    resource_version: str
    applied: bool
    def __init__(self, resource_version: _Optional[str] = ..., applied: _Optional[bool] = ...) -> None: ...

class SlowRequest(_message.Message):
    __slots__ = ("backend", "factor")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    backend: str
    factor: float
    def __init__(self, backend: _Optional[str] = ..., factor: _Optional[float] = ...) -> None: ...

class SlowReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RollRequest(_message.Message):
    __slots__ = ("backend", "settings")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    backend: str
    settings: _containers.ScalarMap[str, float]
    def __init__(self, backend: _Optional[str] = ..., settings: _Optional[_Mapping[str, float]] = ...) -> None: ...

class RollReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class MirrorRequest(_message.Message):
    __slots__ = ("service", "variants", "share", "lease_s", "epoch", "leader")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    LEASE_S_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    service: str
    variants: _containers.RepeatedCompositeFieldContainer[MirrorVariant]
    share: float
    lease_s: float
    epoch: int
    leader: str
    def __init__(self, service: _Optional[str] = ..., variants: _Optional[_Iterable[_Union[MirrorVariant, _Mapping]]] = ..., share: _Optional[float] = ..., lease_s: _Optional[float] = ..., epoch: _Optional[int] = ..., leader: _Optional[str] = ...) -> None: ...

class MirrorVariant(_message.Message):
    __slots__ = ("name", "backend", "replicas", "settings")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    backend: str
    replicas: int
    settings: _containers.ScalarMap[str, float]
    def __init__(self, name: _Optional[str] = ..., backend: _Optional[str] = ..., replicas: _Optional[int] = ..., settings: _Optional[_Mapping[str, float]] = ...) -> None: ...

class MirrorReply(_message.Message):
    __slots__ = ("variants",)
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    variants: _containers.RepeatedCompositeFieldContainer[MirrorStatus]
    def __init__(self, variants: _Optional[_Iterable[_Union[MirrorStatus, _Mapping]]] = ...) -> None: ...

class MirrorStatus(_message.Message):
    __slots__ = ("name", "cluster", "starting", "ready", "crashed", "billed_replica_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CLUSTER_FIELD_NUMBER: _ClassVar[int]
    STARTING_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    CRASHED_FIELD_NUMBER: _ClassVar[int]
    BILLED_REPLICA_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    cluster: str
    starting: int
    ready: int
    crashed: int
    billed_replica_s: float
    def __init__(self, name: _Optional[str] = ..., cluster: _Optional[str] = ..., starting: _Optional[int] = ..., ready: _Optional[int] = ..., crashed: _Optional[int] = ..., billed_replica_s: _Optional[float] = ...) -> None: ...

class BreakRequest(_message.Message):
    __slots__ = ("service", "faults", "lease_s", "epoch", "leader")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    LEASE_S_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    LEADER_FIELD_NUMBER: _ClassVar[int]
    service: str
    faults: _containers.RepeatedCompositeFieldContainer[StageFault]
    lease_s: float
    epoch: int
    leader: str
    def __init__(self, service: _Optional[str] = ..., faults: _Optional[_Iterable[_Union[StageFault, _Mapping]]] = ..., lease_s: _Optional[float] = ..., epoch: _Optional[int] = ..., leader: _Optional[str] = ...) -> None: ...

class StageFault(_message.Message):
    __slots__ = ("id", "kind", "backend", "replicas", "factor")
    ID_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    FACTOR_FIELD_NUMBER: _ClassVar[int]
    id: str
    kind: str
    backend: str
    replicas: int
    factor: float
    def __init__(self, id: _Optional[str] = ..., kind: _Optional[str] = ..., backend: _Optional[str] = ..., replicas: _Optional[int] = ..., factor: _Optional[float] = ...) -> None: ...

class BreakReply(_message.Message):
    __slots__ = ("faults",)
    FAULTS_FIELD_NUMBER: _ClassVar[int]
    faults: _containers.RepeatedCompositeFieldContainer[BrokenReplicas]
    def __init__(self, faults: _Optional[_Iterable[_Union[BrokenReplicas, _Mapping]]] = ...) -> None: ...

class BrokenReplicas(_message.Message):
    __slots__ = ("id", "replicas")
    ID_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    id: str
    replicas: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, id: _Optional[str] = ..., replicas: _Optional[_Iterable[str]] = ...) -> None: ...

class LeakRequest(_message.Message):
    __slots__ = ("backend", "mb_per_minute")
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    MB_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    backend: str
    mb_per_minute: float
    def __init__(self, backend: _Optional[str] = ..., mb_per_minute: _Optional[float] = ...) -> None: ...

class LeakReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
