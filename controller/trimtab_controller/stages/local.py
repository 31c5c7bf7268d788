"""Acts on the local stage, over gRPC on its Unix socket."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import grpc

from trimtab_controller.drills.breaking import StageFault
from trimtab_controller.protocols import (
    WRITER,
    BackendReport,
    Intent,
    StageError,
    StageMovedError,
    StageRefusedError,
    StageReport,
)
from trimtab_controller.variants.mirror import LEASE_S, Running, Wanted
from trimtab_guard.authority import Epoch
from trimtab_proto.v1 import stage_pb2, stage_pb2_grpc


class LocalStage:
    """One service of the stage that listens on ``socket``; every call has a deadline."""

    lets_go_s = LEASE_S

    def __init__(self, service: str, socket: str, deadline_s: float = 1.0) -> None:
        self._service = service
        self._socket = socket
        self._deadline_s = deadline_s
        # A stage that restarts must be found again within a tick or two.
        options = [
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.initial_reconnect_backoff_ms", 200),
        ]
        self._channel = grpc.insecure_channel(f"unix:{socket}", options=options)
        self._stub = stage_pb2_grpc.StageStub(self._channel)

    def status(self) -> StageReport:
        """What is, now; raises `StageError`, also when the stage holds another service."""
        try:
            status = self._stub.GetStatus(stage_pb2.GetStatusRequest(), timeout=self._deadline_s)
        except grpc.RpcError as error:
            raise StageError(self._explain(error)) from error
        if status.service != self._service:
            raise StageError(
                f"the stage at {self._socket} holds service {status.service!r}, "
                f"not {self._service!r}: correct stage.socket or the service's name"
            )
        return _report(status)

    def apply(self, intent: Intent) -> str:
        """Write all or nothing; returns the stage's new version."""
        request = stage_pb2.ApplyRequest(
            service=intent.service,
            request_id=intent.request_id,
            resource_version=intent.version,
            writer=WRITER,
            epoch=intent.epoch.number,
            leader=intent.epoch.leader,
            backends=[
                stage_pb2.BackendAsk(
                    name=ask.backend, floor=ask.floor, weight=ask.weight, restart=ask.restart
                )
                for ask in intent.asks
            ],
        )
        try:
            reply = self._stub.Apply(request, timeout=self._deadline_s)
        except grpc.RpcError as error:
            raise _kind(error)(self._explain(error)) from error
        return str(reply.resource_version)

    def mirror(self, wanted: Wanted) -> list[Running]:
        """Have just these variants run; raises `StageError`, and `StageRefusedError` for good."""
        request = stage_pb2.MirrorRequest(
            service=self._service,
            share=wanted.share,
            lease_s=wanted.lease_s,
            epoch=wanted.epoch.number,
            leader=wanted.epoch.leader,
            variants=[
                stage_pb2.MirrorVariant(
                    name=name,
                    backend=wanted.backend,
                    replicas=variant.replicas,
                    settings=dict(variant.settings),
                )
                for name, variant in wanted.variants.items()
            ],
        )
        try:
            reply = self._stub.Mirror(request, timeout=self._deadline_s)
        except grpc.RpcError as error:
            raise _kind(error)(self._explain(error)) from error
        return [Running(v.name, v.cluster, v.ready, v.crashed) for v in reply.variants]

    def have_broken(
        self, faults: Sequence[StageFault], lease_s: float, epoch: Epoch
    ) -> Mapping[str, Sequence[str]]:
        """As `Breakable.have_broken`."""
        request = stage_pb2.BreakRequest(
            service=self._service,
            faults=[stage_pb2.StageFault(**fault._asdict()) for fault in faults],
            lease_s=lease_s,
            epoch=epoch.number,
            leader=epoch.leader,
        )
        try:
            reply = self._stub.Break(request, timeout=self._deadline_s)
        except grpc.RpcError as error:
            raise _kind(error)(self._explain(error)) from error
        return {each.id: tuple(each.replicas) for each in reply.faults}

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def _explain(self, error: grpc.RpcError) -> str:
        return f"stage at {self._socket}: {error.code().name}: {error.details()}"


def _kind(error: grpc.RpcError) -> type[StageError]:
    """Which codes promise that nothing was written; any other leaves it open."""
    return {
        grpc.StatusCode.FAILED_PRECONDITION: StageMovedError,
        grpc.StatusCode.INVALID_ARGUMENT: StageRefusedError,
    }.get(error.code(), StageError)


def _report(status: stage_pb2.StageStatus) -> StageReport:
    return StageReport(
        time_s=status.time_s,
        version=status.resource_version,
        writer=status.last_writer,
        metrics=status.envoy_admin_socket,
        epoch=Epoch(status.epoch, status.leader),
        rollout=any(b.outdated for b in status.backends),
        restarts=True,
        backends=tuple(
            BackendReport(
                name=b.name,
                wanted=b.wanted,
                starting=b.starting,
                ready=b.ready,
                draining=b.draining,
                floor=b.floor,
                weight=b.weight,
                memory_bytes=b.memory_bytes or math.nan,
                memory_limit_bytes=b.memory_limit_bytes or math.nan,
            )
            for b in status.backends
        ),
    )
