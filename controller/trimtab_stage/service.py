"""`trimtab.v1.Stage` over gRPC: only translation; what it means is in `cluster` and `spec`."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import grpc

from trimtab_guard.authority import Epoch
from trimtab_proto.v1 import stage_pb2, stage_pb2_grpc
from trimtab_stage.cluster import Cluster
from trimtab_stage.faults import Fault, Faults, Kind
from trimtab_stage.fleet import Phase, ReplicaSet
from trimtab_stage.mirrors import Variant
from trimtab_stage.spec import Ask, InvalidAskError
from trimtab_stage.traffic import Traffic
from trimtab_stage.xds import MIRROR

SERVICE = "trimtab.v1.Stage"
_PROFILE = tuple(stage_pb2.StageBackendProfile.DESCRIPTOR.fields_by_name)


@dataclass(frozen=True, slots=True)
class Place:
    """Where to measure and where the traffic goes in: Envoy's admin socket, the listener's port."""

    admin_socket: str
    port: int


class StageService(stage_pb2_grpc.StageServicer):  # type: ignore[misc] # untyped stubs
    """Answers from the cluster as it is; writes to its spec."""

    def __init__(self, cluster: Cluster, traffic: Traffic, faults: Faults, place: Place) -> None:
        self._cluster = cluster
        self._faults = faults
        self._traffic = traffic
        self._place = place
        # Versions of another run of the stage must never match ours.
        self._run = f"{time.time_ns():x}"
        # The version that each request led to, by request_id.
        self._applied: dict[str, str] = {}

    @property
    def _version(self) -> str:
        return f"{self._run}-{self._cluster.spec.version}"

    async def GetStatus(  # noqa: N802 # gRPC's name
        self,
        request: stage_pb2.GetStatusRequest,  # noqa: ARG002 # it has no fields
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 # gRPC's signature
    ) -> stage_pb2.StageStatus:
        """Everything that is, now."""
        return stage_pb2.StageStatus(
            service=self._cluster.profile.name,
            time_s=time.time(),
            resource_version=self._version,
            backends=[self._backend(name) for name in self._cluster.backends],
            envoy_admin_socket=self._place.admin_socket,
            port=self._place.port,
            profile=self._profile(),
            load=self._load(),
            last_writer=self._cluster.spec.writer,
            epoch=self._cluster.spec.epoch.number,
            leader=self._cluster.spec.epoch.leader,
        )

    async def Apply(  # noqa: N802 # gRPC's name
        self, request: stage_pb2.ApplyRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> stage_pb2.ApplyReply:
        """Write floors and weights; weights count once Envoy has them, as `GetStatus` shows."""
        if request.request_id in self._applied:
            return stage_pb2.ApplyReply(resource_version=self._applied[request.request_id])
        if overtaken := self._overtaken(request):
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, overtaken)
        try:
            self._write(request)
        except InvalidAskError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        self._applied[request.request_id] = self._version
        return stage_pb2.ApplyReply(resource_version=self._version, applied=True)

    async def Slow(  # noqa: N802 # gRPC's name
        self, request: stage_pb2.SlowRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> stage_pb2.SlowReply:
        """Make a backend bad, or well again."""
        try:
            self._cluster.slow(request.backend, request.factor)
        except InvalidAskError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return stage_pb2.SlowReply()

    async def Roll(  # noqa: N802 # gRPC's name
        self, request: stage_pb2.RollRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> stage_pb2.RollReply:
        """Begin a rollout."""
        try:
            self._cluster.roll(request.backend, dict(request.settings))
        except InvalidAskError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return stage_pb2.RollReply()

    async def Mirror(  # noqa: N802 # gRPC's name
        self, request: stage_pb2.MirrorRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> stage_pb2.MirrorReply:
        """Run variants on copies of the traffic, for as long as somebody asks again."""
        if overtaken := self._cluster.spec.refusal(_epoch(request)):
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, overtaken)
        try:
            self._check_service(request.service)
            variants = [
                Variant(each.name, each.backend, each.replicas, dict(each.settings))
                for each in request.variants
            ]
            self._cluster.mirror(variants, request.share, request.lease_s)
        except InvalidAskError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return stage_pb2.MirrorReply(variants=map(_mirrored, self._cluster.mirrors.sets.values()))

    async def Break(  # noqa: N802 # gRPC's name
        self, request: stage_pb2.BreakRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> stage_pb2.BreakReply:
        """Break just this, for as long as somebody asks again."""
        overtaken = self._cluster.spec.refusal(_epoch(request))
        if overtaken and request.faults:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, overtaken)
        try:
            self._check_service(request.service)
            hit = await self._faults.have([_fault(f) for f in request.faults], request.lease_s)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        broken = (stage_pb2.BrokenReplicas(id=name, replicas=on) for name, on in hit.items())
        return stage_pb2.BreakReply(faults=broken)

    async def Leak(  # noqa: N802 # gRPC's name
        self, request: stage_pb2.LeakRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> stage_pb2.LeakReply:
        """Make a backend's replicas leak memory, or no more."""
        try:
            self._cluster.leak(request.backend, request.mb_per_minute)
        except InvalidAskError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return stage_pb2.LeakReply()

    def _overtaken(self, request: stage_pb2.ApplyRequest) -> str:
        """Who was faster; empty when the request is based on what is, by who may write."""
        if request.resource_version not in ("", self._version):
            last = self._cluster.spec.writer or "nobody"
            return (
                f"resource_version is {self._version}, not {request.resource_version}: "
                f"{last} wrote last; read the status again"
            )
        return self._cluster.spec.refusal(_epoch(request))

    def _write(self, request: stage_pb2.ApplyRequest) -> None:
        self._check_service(request.service)
        if not request.request_id:
            raise InvalidAskError("request_id is empty: give each action an id of its own")
        asks = [
            Ask(
                backend=ask.name,
                floor=ask.floor if ask.HasField("floor") else None,
                weight=ask.weight if ask.HasField("weight") else None,
                restart=ask.restart,
            )
            for ask in request.backends
        ]
        self._cluster.apply(asks, request.writer, _epoch(request))

    def _check_service(self, service: str) -> None:
        name = self._cluster.profile.name
        if service != name:
            raise InvalidAskError(f"unknown service {service!r}: the stage has {name!r}")

    def _backend(self, name: str) -> stage_pb2.StageBackend:
        backend, acked = self._cluster.backends[name], self._cluster.acked
        return stage_pb2.StageBackend(
            name=name,
            wanted=self._cluster.wanted[name],
            starting=backend.count(Phase.STARTING),
            ready=backend.count(Phase.READY),
            draining=backend.count(Phase.DRAINING),
            floor=self._cluster.spec.floors[name],
            weight=acked.share(name) if acked else 0.0,
            billed_replica_s=backend.billed_s(),
            started=backend.started,
            stopped=backend.stopped,
            crashed=backend.crashed,
            outdated=backend.outdated,
            memory_bytes=backend.memory_bytes,
            memory_limit_bytes=self._cluster.memory_limit_bytes,
        )

    def _profile(self) -> stage_pb2.StageProfile:
        profile = self._cluster.profile
        return stage_pb2.StageProfile(
            slo_latency_s=profile.slo_latency_s,
            slo_share=profile.slo_share,
            timeout_s=profile.timeout_s,
            # The message's fields are named after the profile's.
            backends=[
                stage_pb2.StageBackendProfile(**{name: getattr(b, name) for name in _PROFILE})
                for b in profile.backends
            ],
        )

    def _load(self) -> stage_pb2.LoadStatus:
        traffic, replay = self._traffic, self._traffic.replay
        elapsed_s = traffic.elapsed_s
        return stage_pb2.LoadStatus(
            trace=replay.trace.name,
            speed=replay.speed,
            trace_time_s=replay.trace_time_s(elapsed_s),
            offered_rps=replay.rate_rps(elapsed_s),
            alive=traffic.alive,
            **asdict(traffic.tally),
        )


def _mirrored(variant: ReplicaSet) -> stage_pb2.MirrorStatus:
    cluster = variant.profile.name
    return stage_pb2.MirrorStatus(
        name=cluster.removeprefix(MIRROR),
        cluster=cluster,
        starting=variant.count(Phase.STARTING),
        ready=variant.count(Phase.READY),
        crashed=variant.crashed,
        billed_replica_s=variant.billed_s(),
    )


def _fault(fault: stage_pb2.StageFault) -> Fault:
    """``ValueError`` names a kind that does not exist."""
    return Fault(fault.id, Kind(fault.kind), fault.backend, fault.replicas, fault.factor or 1.0)


def _epoch(
    request: stage_pb2.ApplyRequest | stage_pb2.MirrorRequest | stage_pb2.BreakRequest,
) -> Epoch:
    return Epoch(request.epoch, request.leader)
