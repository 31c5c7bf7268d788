"""Between daemon and stage: passes every call on, writes it down, and kills where it is told to."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import grpc

from trimtab_proto.v1 import stage_pb2, stage_pb2_grpc

PATIENCE_S = 30.0


class Point(StrEnum):
    """Where a daemon dies."""

    ANY = "at any moment"
    BEFORE = "the write never reaches the stage"
    LATE = "the write is still on its way"
    BETWEEN = "the write is done, its reply is lost"
    AFTER = "the reply has just come"


@dataclass(frozen=True, slots=True)
class Trap:
    """Kills at the next write. ``wait_s``: how late a write comes, or how long after its reply."""

    point: Point
    kill: Callable[[], object]
    wait_s: float


@dataclass(frozen=True, slots=True)
class Write:
    """One write that a daemon sent, and what the stage answered; neither when it got lost."""

    request: stage_pb2.ApplyRequest
    sent_s: float
    reply: stage_pb2.ApplyReply | None = None
    refused: grpc.StatusCode | None = None

    @property
    def applied(self) -> bool:
        """Whether it changed the stage, as the stage says."""
        return self.reply is not None and bool(self.reply.applied)


class Proxy(stage_pb2_grpc.StageServicer):  # type: ignore[misc]  # untyped stubs
    """A stage at ``socket`` that is the one at ``target``."""

    def __init__(self, target: Path, socket: Path) -> None:
        self.polls: list[stage_pb2.StageStatus] = []
        self.writes: list[Write] = []
        self.trap: Trap | None = None
        self._channel = grpc.insecure_channel(f"unix:{target}")
        self.stage = stage_pb2_grpc.StageStub(self._channel)
        self._server = grpc.server(ThreadPoolExecutor(8))
        stage_pb2_grpc.add_StageServicer_to_server(self, self._server)
        self._server.add_insecure_port(f"unix:{socket}")
        self._server.start()

    def close(self) -> None:
        self._server.stop(grace=None).wait()
        self._channel.close()

    def GetStatus(  # noqa: N802  # gRPC's name
        self,
        request: stage_pb2.GetStatusRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # nothing can go wrong
    ) -> stage_pb2.StageStatus:
        status = self.stage.GetStatus(request, timeout=PATIENCE_S, wait_for_ready=True)
        self.polls.append(status)
        return status

    def Apply(  # noqa: N802  # gRPC's name
        self, request: stage_pb2.ApplyRequest, context: grpc.ServicerContext
    ) -> stage_pb2.ApplyReply:
        sent_s = time.time()
        trap, self.trap = self.trap, None
        if trap and trap.point in (Point.BEFORE, Point.LATE):
            trap.kill()
            if trap.point is Point.BEFORE:
                self.writes.append(Write(request, sent_s))
                context.abort(grpc.StatusCode.UNAVAILABLE, "lost on its way")
            time.sleep(trap.wait_s)
        if trap and trap.point is Point.AFTER:
            context.add_callback(lambda: (time.sleep(trap.wait_s), trap.kill()))
        write = self._forward(request, sent_s)
        self.writes.append(write)
        if trap and trap.point is Point.BETWEEN:
            trap.kill()
        if write.refused:
            context.abort(write.refused, "as the stage says")
        return write.reply

    def _forward(self, request: stage_pb2.ApplyRequest, sent_s: float) -> Write:
        try:
            reply: Any = self.stage.Apply(request, timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return Write(request, sent_s, refused=error.code())
        return Write(request, sent_s, reply=reply)
