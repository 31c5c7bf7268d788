from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_SHADOW: _ClassVar[Mode]
    MODE_APPROVE: _ClassVar[Mode]
    MODE_ASSIST: _ClassVar[Mode]
    MODE_GUARDED: _ClassVar[Mode]

class Trust(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRUST_UNSPECIFIED: _ClassVar[Trust]
    TRUST_NONE: _ClassVar[Trust]
    TRUST_HOLD: _ClassVar[Trust]
    TRUST_UP: _ClassVar[Trust]
    TRUST_FULL: _ClassVar[Trust]
MODE_UNSPECIFIED: Mode
MODE_SHADOW: Mode
MODE_APPROVE: Mode
MODE_ASSIST: Mode
MODE_GUARDED: Mode
TRUST_UNSPECIFIED: Trust
TRUST_NONE: Trust
TRUST_HOLD: Trust
TRUST_UP: Trust
TRUST_FULL: Trust

class BackendReport(_message.Message):
    __slots__ = ("name", "wanted", "starting", "ready", "draining", "weight", "rate_rps", "in_flight", "error_share")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    STARTING_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    RATE_RPS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    ERROR_SHARE_FIELD_NUMBER: _ClassVar[int]
    name: str
    wanted: int
    starting: int
    ready: int
    draining: int
    weight: float
    rate_rps: float
    in_flight: float
    error_share: float
    def __init__(self, name: _Optional[str] = ..., wanted: _Optional[int] = ..., starting: _Optional[int] = ..., ready: _Optional[int] = ..., draining: _Optional[int] = ..., weight: _Optional[float] = ..., rate_rps: _Optional[float] = ..., in_flight: _Optional[float] = ..., error_share: _Optional[float] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("service", "time_s", "backends", "p50_ms", "p95_ms", "miss_share", "caller", "description", "rate_rps")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P95_MS_FIELD_NUMBER: _ClassVar[int]
    MISS_SHARE_FIELD_NUMBER: _ClassVar[int]
    CALLER_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    RATE_RPS_FIELD_NUMBER: _ClassVar[int]
    service: str
    time_s: float
    backends: _containers.RepeatedCompositeFieldContainer[BackendReport]
    p50_ms: float
    p95_ms: float
    miss_share: float
    caller: str
    description: ServiceDescription
    rate_rps: float
    def __init__(self, service: _Optional[str] = ..., time_s: _Optional[float] = ..., backends: _Optional[_Iterable[_Union[BackendReport, _Mapping]]] = ..., p50_ms: _Optional[float] = ..., p95_ms: _Optional[float] = ..., miss_share: _Optional[float] = ..., caller: _Optional[str] = ..., description: _Optional[_Union[ServiceDescription, _Mapping]] = ..., rate_rps: _Optional[float] = ...) -> None: ...

class ServiceDescription(_message.Message):
    __slots__ = ("slo", "miss_price", "tick_s", "backends", "timeout_s", "metric_lag_s", "limits")
    class LimitsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SLO_FIELD_NUMBER: _ClassVar[int]
    MISS_PRICE_FIELD_NUMBER: _ClassVar[int]
    TICK_S_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    METRIC_LAG_S_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    slo: Slo
    miss_price: float
    tick_s: float
    backends: _containers.RepeatedCompositeFieldContainer[BackendDescription]
    timeout_s: float
    metric_lag_s: float
    limits: _containers.ScalarMap[str, float]
    def __init__(self, slo: _Optional[_Union[Slo, _Mapping]] = ..., miss_price: _Optional[float] = ..., tick_s: _Optional[float] = ..., backends: _Optional[_Iterable[_Union[BackendDescription, _Mapping]]] = ..., timeout_s: _Optional[float] = ..., metric_lag_s: _Optional[float] = ..., limits: _Optional[_Mapping[str, float]] = ...) -> None: ...

class Slo(_message.Message):
    __slots__ = ("latency_s", "share")
    LATENCY_S_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    latency_s: float
    share: float
    def __init__(self, latency_s: _Optional[float] = ..., share: _Optional[float] = ...) -> None: ...

class BackendDescription(_message.Message):
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

class BackendDecision(_message.Message):
    __slots__ = ("name", "replicas", "weight")
    NAME_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    name: str
    replicas: int
    weight: float
    def __init__(self, name: _Optional[str] = ..., replicas: _Optional[int] = ..., weight: _Optional[float] = ...) -> None: ...

class GuardReason(_message.Message):
    __slots__ = ("code", "backend", "before", "after")
    CODE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    code: str
    backend: str
    before: float
    after: float
    def __init__(self, code: _Optional[str] = ..., backend: _Optional[str] = ..., before: _Optional[float] = ..., after: _Optional[float] = ...) -> None: ...

class RecommendReply(_message.Message):
    __slots__ = ("service", "policy", "decision", "proposal", "reasons", "why", "time_s", "missing", "estimated", "trust", "memory_s", "window_s", "next_s")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    ESTIMATED_FIELD_NUMBER: _ClassVar[int]
    TRUST_FIELD_NUMBER: _ClassVar[int]
    MEMORY_S_FIELD_NUMBER: _ClassVar[int]
    WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    NEXT_S_FIELD_NUMBER: _ClassVar[int]
    service: str
    policy: str
    decision: _containers.RepeatedCompositeFieldContainer[BackendDecision]
    proposal: _containers.RepeatedCompositeFieldContainer[BackendDecision]
    reasons: _containers.RepeatedCompositeFieldContainer[GuardReason]
    why: str
    time_s: float
    missing: _containers.RepeatedScalarFieldContainer[str]
    estimated: _containers.RepeatedScalarFieldContainer[str]
    trust: Trust
    memory_s: float
    window_s: float
    next_s: float
    def __init__(self, service: _Optional[str] = ..., policy: _Optional[str] = ..., decision: _Optional[_Iterable[_Union[BackendDecision, _Mapping]]] = ..., proposal: _Optional[_Iterable[_Union[BackendDecision, _Mapping]]] = ..., reasons: _Optional[_Iterable[_Union[GuardReason, _Mapping]]] = ..., why: _Optional[str] = ..., time_s: _Optional[float] = ..., missing: _Optional[_Iterable[str]] = ..., estimated: _Optional[_Iterable[str]] = ..., trust: _Optional[_Union[Trust, str]] = ..., memory_s: _Optional[float] = ..., window_s: _Optional[float] = ..., next_s: _Optional[float] = ...) -> None: ...

class BackendMetrics(_message.Message):
    __slots__ = ("name", "rate_rps", "in_flight", "error_share")
    NAME_FIELD_NUMBER: _ClassVar[int]
    RATE_RPS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    ERROR_SHARE_FIELD_NUMBER: _ClassVar[int]
    name: str
    rate_rps: float
    in_flight: float
    error_share: float
    def __init__(self, name: _Optional[str] = ..., rate_rps: _Optional[float] = ..., in_flight: _Optional[float] = ..., error_share: _Optional[float] = ...) -> None: ...

class MetricsReport(_message.Message):
    __slots__ = ("service", "time_s", "backends", "p50_ms", "p95_ms", "miss_share")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P95_MS_FIELD_NUMBER: _ClassVar[int]
    MISS_SHARE_FIELD_NUMBER: _ClassVar[int]
    service: str
    time_s: float
    backends: _containers.RepeatedCompositeFieldContainer[BackendMetrics]
    p50_ms: float
    p95_ms: float
    miss_share: float
    def __init__(self, service: _Optional[str] = ..., time_s: _Optional[float] = ..., backends: _Optional[_Iterable[_Union[BackendMetrics, _Mapping]]] = ..., p50_ms: _Optional[float] = ..., p95_ms: _Optional[float] = ..., miss_share: _Optional[float] = ...) -> None: ...

class ReportMetricsReply(_message.Message):
    __slots__ = ("taken", "ignored")
    TAKEN_FIELD_NUMBER: _ClassVar[int]
    IGNORED_FIELD_NUMBER: _ClassVar[int]
    taken: int
    ignored: int
    def __init__(self, taken: _Optional[int] = ..., ignored: _Optional[int] = ...) -> None: ...

class WatchDecisionsRequest(_message.Message):
    __slots__ = ("service", "once")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    ONCE_FIELD_NUMBER: _ClassVar[int]
    service: str
    once: bool
    def __init__(self, service: _Optional[str] = ..., once: _Optional[bool] = ...) -> None: ...

class BackendStatus(_message.Message):
    __slots__ = ("name", "wanted", "starting", "ready", "draining", "weight", "rate_rps", "in_flight", "floor")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    STARTING_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    RATE_RPS_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    FLOOR_FIELD_NUMBER: _ClassVar[int]
    name: str
    wanted: int
    starting: int
    ready: int
    draining: int
    weight: float
    rate_rps: float
    in_flight: float
    floor: int
    def __init__(self, name: _Optional[str] = ..., wanted: _Optional[int] = ..., starting: _Optional[int] = ..., ready: _Optional[int] = ..., draining: _Optional[int] = ..., weight: _Optional[float] = ..., rate_rps: _Optional[float] = ..., in_flight: _Optional[float] = ..., floor: _Optional[int] = ...) -> None: ...

class ServiceStatus(_message.Message):
    __slots__ = ("service", "time_s", "mode", "stopped", "backends", "p50_ms", "p95_ms", "miss_share", "proposal", "decision", "reasons", "why", "outcome", "error", "decisions", "actions", "policy", "pending", "lowered", "lease_until_s", "config_error")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    BACKENDS_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P95_MS_FIELD_NUMBER: _ClassVar[int]
    MISS_SHARE_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    LOWERED_FIELD_NUMBER: _ClassVar[int]
    LEASE_UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    CONFIG_ERROR_FIELD_NUMBER: _ClassVar[int]
    service: str
    time_s: float
    mode: Mode
    stopped: bool
    backends: _containers.RepeatedCompositeFieldContainer[BackendStatus]
    p50_ms: float
    p95_ms: float
    miss_share: float
    proposal: _containers.RepeatedCompositeFieldContainer[BackendDecision]
    decision: _containers.RepeatedCompositeFieldContainer[BackendDecision]
    reasons: _containers.RepeatedCompositeFieldContainer[GuardReason]
    why: str
    outcome: str
    error: str
    decisions: int
    actions: int
    policy: str
    pending: int
    lowered: str
    lease_until_s: float
    config_error: str
    def __init__(self, service: _Optional[str] = ..., time_s: _Optional[float] = ..., mode: _Optional[_Union[Mode, str]] = ..., stopped: _Optional[bool] = ..., backends: _Optional[_Iterable[_Union[BackendStatus, _Mapping]]] = ..., p50_ms: _Optional[float] = ..., p95_ms: _Optional[float] = ..., miss_share: _Optional[float] = ..., proposal: _Optional[_Iterable[_Union[BackendDecision, _Mapping]]] = ..., decision: _Optional[_Iterable[_Union[BackendDecision, _Mapping]]] = ..., reasons: _Optional[_Iterable[_Union[GuardReason, _Mapping]]] = ..., why: _Optional[str] = ..., outcome: _Optional[str] = ..., error: _Optional[str] = ..., decisions: _Optional[int] = ..., actions: _Optional[int] = ..., policy: _Optional[str] = ..., pending: _Optional[int] = ..., lowered: _Optional[str] = ..., lease_until_s: _Optional[float] = ..., config_error: _Optional[str] = ...) -> None: ...

class SetModeRequest(_message.Message):
    __slots__ = ("service", "mode", "who")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    service: str
    mode: Mode
    who: str
    def __init__(self, service: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., who: _Optional[str] = ...) -> None: ...

class SetModeReply(_message.Message):
    __slots__ = ("mode", "lease_until_s")
    MODE_FIELD_NUMBER: _ClassVar[int]
    LEASE_UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    mode: Mode
    lease_until_s: float
    def __init__(self, mode: _Optional[_Union[Mode, str]] = ..., lease_until_s: _Optional[float] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("service", "who")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    service: str
    who: str
    def __init__(self, service: _Optional[str] = ..., who: _Optional[str] = ...) -> None: ...

class RenewReply(_message.Message):
    __slots__ = ("lease_until_s",)
    LEASE_UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    lease_until_s: float
    def __init__(self, lease_until_s: _Optional[float] = ...) -> None: ...

class StopRequest(_message.Message):
    __slots__ = ("who", "why")
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    who: str
    why: str
    def __init__(self, who: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class StopReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class AbortRequest(_message.Message):
    __slots__ = ("who", "why")
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    who: str
    why: str
    def __init__(self, who: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class AbortReply(_message.Message):
    __slots__ = ("stopped", "not_undone")
    STOPPED_FIELD_NUMBER: _ClassVar[int]
    NOT_UNDONE_FIELD_NUMBER: _ClassVar[int]
    stopped: bool
    not_undone: str
    def __init__(self, stopped: _Optional[bool] = ..., not_undone: _Optional[str] = ...) -> None: ...

class ResumeRequest(_message.Message):
    __slots__ = ("who",)
    WHO_FIELD_NUMBER: _ClassVar[int]
    who: str
    def __init__(self, who: _Optional[str] = ...) -> None: ...

class ResumeReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListPendingRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Envelope(_message.Message):
    __slots__ = ("id", "service", "backend", "min_replicas", "max_replicas", "min_weight", "max_weight", "expires_s", "why", "change")
    ID_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    MIN_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    MAX_REPLICAS_FIELD_NUMBER: _ClassVar[int]
    MIN_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    MAX_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_S_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    CHANGE_FIELD_NUMBER: _ClassVar[int]
    id: str
    service: str
    backend: str
    min_replicas: int
    max_replicas: int
    min_weight: float
    max_weight: float
    expires_s: float
    why: str
    change: str
    def __init__(self, id: _Optional[str] = ..., service: _Optional[str] = ..., backend: _Optional[str] = ..., min_replicas: _Optional[int] = ..., max_replicas: _Optional[int] = ..., min_weight: _Optional[float] = ..., max_weight: _Optional[float] = ..., expires_s: _Optional[float] = ..., why: _Optional[str] = ..., change: _Optional[str] = ...) -> None: ...

class ListPendingReply(_message.Message):
    __slots__ = ("pending", "granted")
    PENDING_FIELD_NUMBER: _ClassVar[int]
    GRANTED_FIELD_NUMBER: _ClassVar[int]
    pending: _containers.RepeatedCompositeFieldContainer[Envelope]
    granted: _containers.RepeatedCompositeFieldContainer[Envelope]
    def __init__(self, pending: _Optional[_Iterable[_Union[Envelope, _Mapping]]] = ..., granted: _Optional[_Iterable[_Union[Envelope, _Mapping]]] = ...) -> None: ...

class ApproveRequest(_message.Message):
    __slots__ = ("id", "who", "why")
    ID_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    id: str
    who: str
    why: str
    def __init__(self, id: _Optional[str] = ..., who: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class ApproveReply(_message.Message):
    __slots__ = ("envelope",)
    ENVELOPE_FIELD_NUMBER: _ClassVar[int]
    envelope: Envelope
    def __init__(self, envelope: _Optional[_Union[Envelope, _Mapping]] = ...) -> None: ...

class RejectRequest(_message.Message):
    __slots__ = ("id", "who", "why")
    ID_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    id: str
    who: str
    why: str
    def __init__(self, id: _Optional[str] = ..., who: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class RejectReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class RevokeRequest(_message.Message):
    __slots__ = ("id", "who", "why")
    ID_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    id: str
    who: str
    why: str
    def __init__(self, id: _Optional[str] = ..., who: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class RevokeReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WhoAmIRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class WhoAmIReply(_message.Message):
    __slots__ = ("name", "role", "services")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    name: str
    role: str
    services: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, name: _Optional[str] = ..., role: _Optional[str] = ..., services: _Optional[_Iterable[str]] = ...) -> None: ...

class GetLimitsRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class LimitUse(_message.Message):
    __slots__ = ("code", "backend", "used", "most", "unit", "window_s")
    CODE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    USED_FIELD_NUMBER: _ClassVar[int]
    MOST_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    WINDOW_S_FIELD_NUMBER: _ClassVar[int]
    code: str
    backend: str
    used: float
    most: float
    unit: str
    window_s: float
    def __init__(self, code: _Optional[str] = ..., backend: _Optional[str] = ..., used: _Optional[float] = ..., most: _Optional[float] = ..., unit: _Optional[str] = ..., window_s: _Optional[float] = ...) -> None: ...

class ServiceLimits(_message.Message):
    __slots__ = ("service", "slo", "ceiling", "uses")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SLO_FIELD_NUMBER: _ClassVar[int]
    CEILING_FIELD_NUMBER: _ClassVar[int]
    USES_FIELD_NUMBER: _ClassVar[int]
    service: str
    slo: Slo
    ceiling: Mode
    uses: _containers.RepeatedCompositeFieldContainer[LimitUse]
    def __init__(self, service: _Optional[str] = ..., slo: _Optional[_Union[Slo, _Mapping]] = ..., ceiling: _Optional[_Union[Mode, str]] = ..., uses: _Optional[_Iterable[_Union[LimitUse, _Mapping]]] = ...) -> None: ...

class GetLimitsReply(_message.Message):
    __slots__ = ("services", "shared")
    SERVICES_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    services: _containers.RepeatedCompositeFieldContainer[ServiceLimits]
    shared: _containers.RepeatedCompositeFieldContainer[LimitUse]
    def __init__(self, services: _Optional[_Iterable[_Union[ServiceLimits, _Mapping]]] = ..., shared: _Optional[_Iterable[_Union[LimitUse, _Mapping]]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("service", "record", "time_s", "thorough")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    THOROUGH_FIELD_NUMBER: _ClassVar[int]
    service: str
    record: int
    time_s: float
    thorough: bool
    def __init__(self, service: _Optional[str] = ..., record: _Optional[int] = ..., time_s: _Optional[float] = ..., thorough: _Optional[bool] = ...) -> None: ...

class ExplainedReason(_message.Message):
    __slots__ = ("reason", "words")
    REASON_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    reason: GuardReason
    words: str
    def __init__(self, reason: _Optional[_Union[GuardReason, _Mapping]] = ..., words: _Optional[str] = ...) -> None: ...

class Hindsight(_message.Message):
    __slots__ = ("judgement", "words", "since_s", "until_s", "peak_rps", "miss_share")
    JUDGEMENT_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    PEAK_RPS_FIELD_NUMBER: _ClassVar[int]
    MISS_SHARE_FIELD_NUMBER: _ClassVar[int]
    judgement: str
    words: str
    since_s: float
    until_s: float
    peak_rps: float
    miss_share: float
    def __init__(self, judgement: _Optional[str] = ..., words: _Optional[str] = ..., since_s: _Optional[float] = ..., until_s: _Optional[float] = ..., peak_rps: _Optional[float] = ..., miss_share: _Optional[float] = ...) -> None: ...

class Alternative(_message.Message):
    __slots__ = ("name", "wanted", "more")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    MORE_FIELD_NUMBER: _ClassVar[int]
    name: str
    wanted: _containers.RepeatedCompositeFieldContainer[BackendDecision]
    more: int
    def __init__(self, name: _Optional[str] = ..., wanted: _Optional[_Iterable[_Union[BackendDecision, _Mapping]]] = ..., more: _Optional[int] = ...) -> None: ...

class ExplainReply(_message.Message):
    __slots__ = ("service", "record", "time_s", "sentence", "policy", "mode", "outcome", "proposal", "decision", "guard", "hindsight", "inputs", "rules", "doubt")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    RECORD_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    SENTENCE_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    PROPOSAL_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    GUARD_FIELD_NUMBER: _ClassVar[int]
    HINDSIGHT_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    RULES_FIELD_NUMBER: _ClassVar[int]
    DOUBT_FIELD_NUMBER: _ClassVar[int]
    service: str
    record: int
    time_s: float
    sentence: str
    policy: str
    mode: Mode
    outcome: str
    proposal: _containers.RepeatedCompositeFieldContainer[BackendDecision]
    decision: _containers.RepeatedCompositeFieldContainer[BackendDecision]
    guard: _containers.RepeatedCompositeFieldContainer[ExplainedReason]
    hindsight: Hindsight
    inputs: _containers.RepeatedCompositeFieldContainer[Alternative]
    rules: _containers.RepeatedCompositeFieldContainer[Alternative]
    doubt: str
    def __init__(self, service: _Optional[str] = ..., record: _Optional[int] = ..., time_s: _Optional[float] = ..., sentence: _Optional[str] = ..., policy: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., outcome: _Optional[str] = ..., proposal: _Optional[_Iterable[_Union[BackendDecision, _Mapping]]] = ..., decision: _Optional[_Iterable[_Union[BackendDecision, _Mapping]]] = ..., guard: _Optional[_Iterable[_Union[ExplainedReason, _Mapping]]] = ..., hindsight: _Optional[_Union[Hindsight, _Mapping]] = ..., inputs: _Optional[_Iterable[_Union[Alternative, _Mapping]]] = ..., rules: _Optional[_Iterable[_Union[Alternative, _Mapping]]] = ..., doubt: _Optional[str] = ...) -> None: ...

class WhatChangedRequest(_message.Message):
    __slots__ = ("service", "since_s", "until_s")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    service: str
    since_s: float
    until_s: float
    def __init__(self, service: _Optional[str] = ..., since_s: _Optional[float] = ..., until_s: _Optional[float] = ...) -> None: ...

class Suspect(_message.Message):
    __slots__ = ("kind", "time_s", "words", "effect", "weight")
    KIND_FIELD_NUMBER: _ClassVar[int]
    TIME_S_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    EFFECT_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    kind: str
    time_s: float
    words: str
    effect: float
    weight: float
    def __init__(self, kind: _Optional[str] = ..., time_s: _Optional[float] = ..., words: _Optional[str] = ..., effect: _Optional[float] = ..., weight: _Optional[float] = ...) -> None: ...

class WhatChangedReply(_message.Message):
    __slots__ = ("service", "risen", "words", "since_s", "until_s", "before", "miss_share", "allowed", "suspects", "also")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    RISEN_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    SINCE_S_FIELD_NUMBER: _ClassVar[int]
    UNTIL_S_FIELD_NUMBER: _ClassVar[int]
    BEFORE_FIELD_NUMBER: _ClassVar[int]
    MISS_SHARE_FIELD_NUMBER: _ClassVar[int]
    ALLOWED_FIELD_NUMBER: _ClassVar[int]
    SUSPECTS_FIELD_NUMBER: _ClassVar[int]
    ALSO_FIELD_NUMBER: _ClassVar[int]
    service: str
    risen: bool
    words: str
    since_s: float
    until_s: float
    before: float
    miss_share: float
    allowed: float
    suspects: _containers.RepeatedCompositeFieldContainer[Suspect]
    also: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, service: _Optional[str] = ..., risen: _Optional[bool] = ..., words: _Optional[str] = ..., since_s: _Optional[float] = ..., until_s: _Optional[float] = ..., before: _Optional[float] = ..., miss_share: _Optional[float] = ..., allowed: _Optional[float] = ..., suspects: _Optional[_Iterable[_Union[Suspect, _Mapping]]] = ..., also: _Optional[_Iterable[str]] = ...) -> None: ...

class GetScorecardRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class Account(_message.Message):
    __slots__ = ("requests", "miss_share", "cost", "fleet", "scale_events")
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MISS_SHARE_FIELD_NUMBER: _ClassVar[int]
    COST_FIELD_NUMBER: _ClassVar[int]
    FLEET_FIELD_NUMBER: _ClassVar[int]
    SCALE_EVENTS_FIELD_NUMBER: _ClassVar[int]
    requests: float
    miss_share: float
    cost: float
    fleet: float
    scale_events: float
    def __init__(self, requests: _Optional[float] = ..., miss_share: _Optional[float] = ..., cost: _Optional[float] = ..., fleet: _Optional[float] = ..., scale_events: _Optional[float] = ...) -> None: ...

class Estimate(_message.Message):
    __slots__ = ("value", "low", "high")
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    value: float
    low: float
    high: float
    def __init__(self, value: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class CertificateCheck(_message.Message):
    __slots__ = ("name", "observed", "replayed", "passed", "tolerance", "meaning")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    PASSED_FIELD_NUMBER: _ClassVar[int]
    TOLERANCE_FIELD_NUMBER: _ClassVar[int]
    MEANING_FIELD_NUMBER: _ClassVar[int]
    name: str
    observed: float
    replayed: float
    passed: bool
    tolerance: str
    meaning: str
    def __init__(self, name: _Optional[str] = ..., observed: _Optional[float] = ..., replayed: _Optional[float] = ..., passed: _Optional[bool] = ..., tolerance: _Optional[str] = ..., meaning: _Optional[str] = ...) -> None: ...

class ScorecardDay(_message.Message):
    __slots__ = ("date", "observed", "policy")
    DATE_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    date: str
    observed: Account
    policy: Account
    def __init__(self, date: _Optional[str] = ..., observed: _Optional[_Union[Account, _Mapping]] = ..., policy: _Optional[_Union[Account, _Mapping]] = ...) -> None: ...

class Scorecard(_message.Message):
    __slots__ = ("service", "computing", "made_s", "no_verdict", "certificate", "currency", "days", "acted_days", "fresh_share", "interventions", "policy_name", "observed", "replayed", "policy", "saving", "saved", "extra_misses", "by_day")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    COMPUTING_FIELD_NUMBER: _ClassVar[int]
    MADE_S_FIELD_NUMBER: _ClassVar[int]
    NO_VERDICT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    ACTED_DAYS_FIELD_NUMBER: _ClassVar[int]
    FRESH_SHARE_FIELD_NUMBER: _ClassVar[int]
    INTERVENTIONS_FIELD_NUMBER: _ClassVar[int]
    POLICY_NAME_FIELD_NUMBER: _ClassVar[int]
    OBSERVED_FIELD_NUMBER: _ClassVar[int]
    REPLAYED_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    SAVING_FIELD_NUMBER: _ClassVar[int]
    SAVED_FIELD_NUMBER: _ClassVar[int]
    EXTRA_MISSES_FIELD_NUMBER: _ClassVar[int]
    BY_DAY_FIELD_NUMBER: _ClassVar[int]
    service: str
    computing: bool
    made_s: float
    no_verdict: str
    certificate: _containers.RepeatedCompositeFieldContainer[CertificateCheck]
    currency: str
    days: int
    acted_days: int
    fresh_share: float
    interventions: float
    policy_name: str
    observed: Account
    replayed: Account
    policy: Account
    saving: Estimate
    saved: Estimate
    extra_misses: Estimate
    by_day: _containers.RepeatedCompositeFieldContainer[ScorecardDay]
    def __init__(self, service: _Optional[str] = ..., computing: _Optional[bool] = ..., made_s: _Optional[float] = ..., no_verdict: _Optional[str] = ..., certificate: _Optional[_Iterable[_Union[CertificateCheck, _Mapping]]] = ..., currency: _Optional[str] = ..., days: _Optional[int] = ..., acted_days: _Optional[int] = ..., fresh_share: _Optional[float] = ..., interventions: _Optional[float] = ..., policy_name: _Optional[str] = ..., observed: _Optional[_Union[Account, _Mapping]] = ..., replayed: _Optional[_Union[Account, _Mapping]] = ..., policy: _Optional[_Union[Account, _Mapping]] = ..., saving: _Optional[_Union[Estimate, _Mapping]] = ..., saved: _Optional[_Union[Estimate, _Mapping]] = ..., extra_misses: _Optional[_Union[Estimate, _Mapping]] = ..., by_day: _Optional[_Iterable[_Union[ScorecardDay, _Mapping]]] = ...) -> None: ...

class GetLadderRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Gate(_message.Message):
    __slots__ = ("name", "wanted", "present", "met", "missing")
    NAME_FIELD_NUMBER: _ClassVar[int]
    WANTED_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    MET_FIELD_NUMBER: _ClassVar[int]
    MISSING_FIELD_NUMBER: _ClassVar[int]
    name: str
    wanted: str
    present: str
    met: bool
    missing: str
    def __init__(self, name: _Optional[str] = ..., wanted: _Optional[str] = ..., present: _Optional[str] = ..., met: _Optional[bool] = ..., missing: _Optional[str] = ...) -> None: ...

class Rung(_message.Message):
    __slots__ = ("service", "mode", "gates", "recommendation", "reason", "computing")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    GATES_FIELD_NUMBER: _ClassVar[int]
    RECOMMENDATION_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    COMPUTING_FIELD_NUMBER: _ClassVar[int]
    service: str
    mode: Mode
    gates: _containers.RepeatedCompositeFieldContainer[Gate]
    recommendation: str
    reason: str
    computing: bool
    def __init__(self, service: _Optional[str] = ..., mode: _Optional[_Union[Mode, str]] = ..., gates: _Optional[_Iterable[_Union[Gate, _Mapping]]] = ..., recommendation: _Optional[str] = ..., reason: _Optional[str] = ..., computing: _Optional[bool] = ...) -> None: ...

class Ladder(_message.Message):
    __slots__ = ("rungs",)
    RUNGS_FIELD_NUMBER: _ClassVar[int]
    rungs: _containers.RepeatedCompositeFieldContainer[Rung]
    def __init__(self, rungs: _Optional[_Iterable[_Union[Rung, _Mapping]]] = ...) -> None: ...

class StartCanaryRequest(_message.Message):
    __slots__ = ("service", "old", "new", "shares", "requests", "most_requests", "margin", "who")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    OLD_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MOST_REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    service: str
    old: str
    new: str
    shares: _containers.RepeatedScalarFieldContainer[float]
    requests: int
    most_requests: int
    margin: float
    who: str
    def __init__(self, service: _Optional[str] = ..., old: _Optional[str] = ..., new: _Optional[str] = ..., shares: _Optional[_Iterable[float]] = ..., requests: _Optional[int] = ..., most_requests: _Optional[int] = ..., margin: _Optional[float] = ..., who: _Optional[str] = ...) -> None: ...

class EndCanaryRequest(_message.Message):
    __slots__ = ("service", "who", "why")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    service: str
    who: str
    why: str
    def __init__(self, service: _Optional[str] = ..., who: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class ListCanariesRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class ListCanariesReply(_message.Message):
    __slots__ = ("canaries",)
    CANARIES_FIELD_NUMBER: _ClassVar[int]
    canaries: _containers.RepeatedCompositeFieldContainer[Canary]
    def __init__(self, canaries: _Optional[_Iterable[_Union[Canary, _Mapping]]] = ...) -> None: ...

class CanaryEffect(_message.Message):
    __slots__ = ("metric", "worse", "low", "high")
    METRIC_FIELD_NUMBER: _ClassVar[int]
    WORSE_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    metric: str
    worse: float
    low: float
    high: float
    def __init__(self, metric: _Optional[str] = ..., worse: _Optional[float] = ..., low: _Optional[float] = ..., high: _Optional[float] = ...) -> None: ...

class Canary(_message.Message):
    __slots__ = ("service", "old", "new", "phase", "share", "why", "old_answers", "new_answers", "effects", "began_s", "who", "worse_share", "no_worse_share")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    OLD_FIELD_NUMBER: _ClassVar[int]
    NEW_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    OLD_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    NEW_ANSWERS_FIELD_NUMBER: _ClassVar[int]
    EFFECTS_FIELD_NUMBER: _ClassVar[int]
    BEGAN_S_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WORSE_SHARE_FIELD_NUMBER: _ClassVar[int]
    NO_WORSE_SHARE_FIELD_NUMBER: _ClassVar[int]
    service: str
    old: str
    new: str
    phase: str
    share: float
    why: str
    old_answers: int
    new_answers: int
    effects: _containers.RepeatedCompositeFieldContainer[CanaryEffect]
    began_s: float
    who: str
    worse_share: float
    no_worse_share: float
    def __init__(self, service: _Optional[str] = ..., old: _Optional[str] = ..., new: _Optional[str] = ..., phase: _Optional[str] = ..., share: _Optional[float] = ..., why: _Optional[str] = ..., old_answers: _Optional[int] = ..., new_answers: _Optional[int] = ..., effects: _Optional[_Iterable[_Union[CanaryEffect, _Mapping]]] = ..., began_s: _Optional[float] = ..., who: _Optional[str] = ..., worse_share: _Optional[float] = ..., no_worse_share: _Optional[float] = ...) -> None: ...

class StartRoundRequest(_message.Message):
    __slots__ = ("service", "backend", "experiment", "variants", "rate_rps", "most_share", "requests", "seconds", "settle_s", "safe_to_mirror", "who")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    RATE_RPS_FIELD_NUMBER: _ClassVar[int]
    MOST_SHARE_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    SETTLE_S_FIELD_NUMBER: _ClassVar[int]
    SAFE_TO_MIRROR_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    service: str
    backend: str
    experiment: str
    variants: _containers.RepeatedCompositeFieldContainer[Variant]
    rate_rps: float
    most_share: float
    requests: int
    seconds: float
    settle_s: float
    safe_to_mirror: bool
    who: str
    def __init__(self, service: _Optional[str] = ..., backend: _Optional[str] = ..., experiment: _Optional[str] = ..., variants: _Optional[_Iterable[_Union[Variant, _Mapping]]] = ..., rate_rps: _Optional[float] = ..., most_share: _Optional[float] = ..., requests: _Optional[int] = ..., seconds: _Optional[float] = ..., settle_s: _Optional[float] = ..., safe_to_mirror: _Optional[bool] = ..., who: _Optional[str] = ...) -> None: ...

class Variant(_message.Message):
    __slots__ = ("name", "replicas", "settings")
    class SettingsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    NAME_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    SETTINGS_FIELD_NUMBER: _ClassVar[int]
    name: str
    replicas: int
    settings: _containers.ScalarMap[str, float]
    def __init__(self, name: _Optional[str] = ..., replicas: _Optional[int] = ..., settings: _Optional[_Mapping[str, float]] = ...) -> None: ...

class EndRoundRequest(_message.Message):
    __slots__ = ("service", "who", "why", "variants")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    service: str
    who: str
    why: str
    variants: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, service: _Optional[str] = ..., who: _Optional[str] = ..., why: _Optional[str] = ..., variants: _Optional[_Iterable[str]] = ...) -> None: ...

class ListRoundsRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class ListRoundsReply(_message.Message):
    __slots__ = ("rounds",)
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    rounds: _containers.RepeatedCompositeFieldContainer[Round]
    def __init__(self, rounds: _Optional[_Iterable[_Union[Round, _Mapping]]] = ...) -> None: ...

class Round(_message.Message):
    __slots__ = ("service", "backend", "experiment", "number", "over", "why", "began_s", "who", "share", "variants", "results", "again")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    EXPERIMENT_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    OVER_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    BEGAN_S_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    VARIANTS_FIELD_NUMBER: _ClassVar[int]
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    service: str
    backend: str
    experiment: str
    number: int
    over: bool
    why: str
    began_s: float
    who: str
    share: float
    variants: _containers.RepeatedCompositeFieldContainer[Variant]
    results: _containers.RepeatedCompositeFieldContainer[VariantResult]
    again: bool
    def __init__(self, service: _Optional[str] = ..., backend: _Optional[str] = ..., experiment: _Optional[str] = ..., number: _Optional[int] = ..., over: _Optional[bool] = ..., why: _Optional[str] = ..., began_s: _Optional[float] = ..., who: _Optional[str] = ..., share: _Optional[float] = ..., variants: _Optional[_Iterable[_Union[Variant, _Mapping]]] = ..., results: _Optional[_Iterable[_Union[VariantResult, _Mapping]]] = ..., again: _Optional[bool] = ...) -> None: ...

class VariantResult(_message.Message):
    __slots__ = ("name", "step", "requests", "misses", "errors", "seconds", "replicas", "p50_ms", "p95_ms", "crashed", "fleet")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    MISSES_FIELD_NUMBER: _ClassVar[int]
    ERRORS_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    REPLICAS_FIELD_NUMBER: _ClassVar[int]
    P50_MS_FIELD_NUMBER: _ClassVar[int]
    P95_MS_FIELD_NUMBER: _ClassVar[int]
    CRASHED_FIELD_NUMBER: _ClassVar[int]
    FLEET_FIELD_NUMBER: _ClassVar[int]
    name: str
    step: str
    requests: int
    misses: int
    errors: int
    seconds: float
    replicas: float
    p50_ms: float
    p95_ms: float
    crashed: int
    fleet: float
    def __init__(self, name: _Optional[str] = ..., step: _Optional[str] = ..., requests: _Optional[int] = ..., misses: _Optional[int] = ..., errors: _Optional[int] = ..., seconds: _Optional[float] = ..., replicas: _Optional[float] = ..., p50_ms: _Optional[float] = ..., p95_ms: _Optional[float] = ..., crashed: _Optional[int] = ..., fleet: _Optional[float] = ...) -> None: ...

class StartDrillRequest(_message.Message):
    __slots__ = ("service", "plan", "who")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    service: str
    plan: str
    who: str
    def __init__(self, service: _Optional[str] = ..., plan: _Optional[str] = ..., who: _Optional[str] = ...) -> None: ...

class EndDrillRequest(_message.Message):
    __slots__ = ("service", "who", "why")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    service: str
    who: str
    why: str
    def __init__(self, service: _Optional[str] = ..., who: _Optional[str] = ..., why: _Optional[str] = ...) -> None: ...

class ListDrillsRequest(_message.Message):
    __slots__ = ("service", "page")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    service: str
    page: bool
    def __init__(self, service: _Optional[str] = ..., page: _Optional[bool] = ...) -> None: ...

class ListDrillsReply(_message.Message):
    __slots__ = ("drills",)
    DRILLS_FIELD_NUMBER: _ClassVar[int]
    drills: _containers.RepeatedCompositeFieldContainer[Drill]
    def __init__(self, drills: _Optional[_Iterable[_Union[Drill, _Mapping]]] = ...) -> None: ...

class Drill(_message.Message):
    __slots__ = ("service", "drill", "phase", "why", "who", "began_s", "first_s", "last_s", "ended_s", "missed_s", "budget_s", "in_force", "page")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    DRILL_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    WHO_FIELD_NUMBER: _ClassVar[int]
    BEGAN_S_FIELD_NUMBER: _ClassVar[int]
    FIRST_S_FIELD_NUMBER: _ClassVar[int]
    LAST_S_FIELD_NUMBER: _ClassVar[int]
    ENDED_S_FIELD_NUMBER: _ClassVar[int]
    MISSED_S_FIELD_NUMBER: _ClassVar[int]
    BUDGET_S_FIELD_NUMBER: _ClassVar[int]
    IN_FORCE_FIELD_NUMBER: _ClassVar[int]
    PAGE_FIELD_NUMBER: _ClassVar[int]
    service: str
    drill: str
    phase: str
    why: str
    who: str
    began_s: float
    first_s: float
    last_s: float
    ended_s: float
    missed_s: float
    budget_s: float
    in_force: _containers.RepeatedScalarFieldContainer[str]
    page: str
    def __init__(self, service: _Optional[str] = ..., drill: _Optional[str] = ..., phase: _Optional[str] = ..., why: _Optional[str] = ..., who: _Optional[str] = ..., began_s: _Optional[float] = ..., first_s: _Optional[float] = ..., last_s: _Optional[float] = ..., ended_s: _Optional[float] = ..., missed_s: _Optional[float] = ..., budget_s: _Optional[float] = ..., in_force: _Optional[_Iterable[str]] = ..., page: _Optional[str] = ...) -> None: ...

class GetForecastRequest(_message.Message):
    __slots__ = ("service",)
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    service: str
    def __init__(self, service: _Optional[str] = ...) -> None: ...

class Forecast(_message.Message):
    __slots__ = ("service", "outlooks")
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    OUTLOOKS_FIELD_NUMBER: _ClassVar[int]
    service: str
    outlooks: _containers.RepeatedCompositeFieldContainer[Outlook]
    def __init__(self, service: _Optional[str] = ..., outlooks: _Optional[_Iterable[_Union[Outlook, _Mapping]]] = ...) -> None: ...

class Outlook(_message.Message):
    __slots__ = ("measure", "unit", "backend", "finding", "level", "limit", "pace_per_h", "seen_s", "mid_s", "low_s", "high_s", "calls", "right", "early", "remedy", "command", "words")
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    BACKEND_FIELD_NUMBER: _ClassVar[int]
    FINDING_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PACE_PER_H_FIELD_NUMBER: _ClassVar[int]
    SEEN_S_FIELD_NUMBER: _ClassVar[int]
    MID_S_FIELD_NUMBER: _ClassVar[int]
    LOW_S_FIELD_NUMBER: _ClassVar[int]
    HIGH_S_FIELD_NUMBER: _ClassVar[int]
    CALLS_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    EARLY_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    measure: str
    unit: str
    backend: str
    finding: str
    level: float
    limit: float
    pace_per_h: float
    seen_s: float
    mid_s: float
    low_s: float
    high_s: float
    calls: int
    right: int
    early: int
    remedy: str
    command: str
    words: str
    def __init__(self, measure: _Optional[str] = ..., unit: _Optional[str] = ..., backend: _Optional[str] = ..., finding: _Optional[str] = ..., level: _Optional[float] = ..., limit: _Optional[float] = ..., pace_per_h: _Optional[float] = ..., seen_s: _Optional[float] = ..., mid_s: _Optional[float] = ..., low_s: _Optional[float] = ..., high_s: _Optional[float] = ..., calls: _Optional[int] = ..., right: _Optional[int] = ..., early: _Optional[int] = ..., remedy: _Optional[str] = ..., command: _Optional[str] = ..., words: _Optional[str] = ...) -> None: ...
