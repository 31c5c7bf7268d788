"""The people around a daemon that keeps dying: they set modes and renew the lease, stop, abort
and resume, approve, reject and revoke.

Every command goes out under a name of its own, so that the journal can be searched for it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import grpc

from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

ANSWER_S = 2.0
LOST = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)


@dataclass(frozen=True, slots=True)
class Command:
    """What was commanded, and what came back. ``took`` is None when no answer came."""

    kind: str
    who: str
    target: str
    sent_s: float
    answered_s: float
    took: bool | None


@dataclass(frozen=True, slots=True)
class Wish:
    """What the people want of one run of the daemon.

    ``stop_s``: so long after they saw it they stop, or abort with ``abort``.
    """

    mode: int
    resume: bool
    stop_s: float | None
    abort: bool = False


class Human:
    """Talks to whatever daemon listens at ``socket``."""

    def __init__(self, socket: Path, rng: Random) -> None:
        self._socket = socket
        self._rng = rng
        self._names = (f"human-{number}" for number in count())
        self.commands: list[Command] = []
        self.seen: list[pb.ServiceStatus] = []

    def attend(
        self, daemon: subprocess.Popen[bytes], wish: Wish, until: Callable[[], bool]
    ) -> pb.ServiceStatus | None:
        """Command and answer until the daemon is dead or ``until``; returns its first status."""
        first = None
        with grpc.insecure_channel(f"unix:{self._socket}") as channel:
            stub = controller_pb2_grpc.ControllerStub(channel)
            while daemon.poll() is None and not until():
                status = self._look(stub)
                if status and not first:
                    first, since_s = status, time.monotonic()
                    stop_s = wish.stop_s
                    self._arm(stub, wish, status)
                elif status and stop_s is not None and time.monotonic() > since_s + stop_s:
                    stop_s = None
                    self._stop(stub, wish, status)
                elif status and status.pending:
                    self._answer(stub)
                time.sleep(0.05)
        return first

    def _look(self, stub: Any) -> pb.ServiceStatus | None:
        call = stub.WatchDecisions(pb.WatchDecisionsRequest(), timeout=0.5, wait_for_ready=True)
        try:
            status = next(iter(call))
        except (grpc.RpcError, StopIteration):
            return None
        call.cancel()
        self.seen.append(status)
        return status

    def _stop(self, stub: Any, wish: Wish, status: pb.ServiceStatus) -> None:
        if status.stopped:
            return
        if wish.abort:
            self._command("abort", "", stub.Abort, pb.AbortRequest(why="it burns"))
        else:
            self._command("stop", "", stub.Stop, pb.StopRequest(why="it smells"))

    def _arm(self, stub: Any, wish: Wish, status: pb.ServiceStatus) -> None:
        if status.stopped:
            if not wish.resume:
                return
            self._command("resume", "", stub.Resume, pb.ResumeRequest())
        if status.stopped or status.mode != wish.mode:
            request = pb.SetModeRequest(service=status.service, mode=wish.mode)
            name = pb.Mode.Name(wish.mode).removeprefix("MODE_").lower()
            self._command("mode", name, stub.SetMode, request)
        self._command("renew", "", stub.Renew, pb.RenewRequest(service=status.service))

    def _answer(self, stub: Any) -> None:
        """Answer all that waits; sometimes two people do so at once."""
        try:
            pending = stub.ListPending(pb.ListPendingRequest(), timeout=ANSWER_S).pending
        except grpc.RpcError:
            return
        for envelope in pending:
            approve = ("approve", envelope.id, stub.Approve, pb.ApproveRequest(id=envelope.id))
            reject = ("reject", envelope.id, stub.Reject, pb.RejectRequest(id=envelope.id))
            revoke = ("revoke", envelope.id, stub.Revoke, pb.RevokeRequest(id=envelope.id))
            said = self._rng.choices([[approve], [reject], [approve, reject]], [8, 1, 2])[0]
            for conclude in [self._send(*command) for command in said]:
                conclude()
            if self._rng.random() < 0.1:
                self._command(*revoke)

    def _command(self, *command: Any) -> None:
        self._send(*command)()

    def _send(self, kind: str, target: str, method: Any, request: Any) -> Callable[[], None]:
        """Send without waiting; what comes back waits for the answer and writes it down."""
        request.who, sent_s = next(self._names), time.time()
        answer = method.future(request, timeout=ANSWER_S)

        def conclude() -> None:
            code = answer.code()  # waits
            took = None if code in LOST else code is grpc.StatusCode.OK
            self.commands.append(Command(kind, request.who, target, sent_s, time.time(), took))

        return conclude
