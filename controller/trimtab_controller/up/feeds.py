"""Listens to stage and daemon from threads of their own, so that neither can hold up the view."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import SimpleQueue

import grpc

from trimtab_proto.v1 import controller_pb2, controller_pb2_grpc, stage_pb2, stage_pb2_grpc

POLL_S = 0.5
DEADLINE_S = 1.0
# A child that was started again must be found again at once.
RECONNECT = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 500)]


@dataclass(frozen=True, slots=True)
class StageSeen:
    """The stage answered."""

    status: stage_pb2.StageStatus


@dataclass(frozen=True, slots=True)
class DaemonSeen:
    """The daemon reported a tick; ``pending`` waits for a human."""

    status: controller_pb2.ServiceStatus
    pending: Sequence[controller_pb2.Envelope]


@dataclass(frozen=True, slots=True)
class Asked:
    """A human or the system asked us to end."""

    signal: int


Event = StageSeen | DaemonSeen | Asked
Events = SimpleQueue[Event]


Reader = Callable[[grpc.Channel], Iterator[Event]]


class Feed(threading.Thread):
    """Puts what ``read`` yields into ``events``, again and again, until it is closed.

    While the other side is away there is simply nothing to tell.
    """

    def __init__(self, address: str, read: Reader, events: Events) -> None:
        super().__init__(daemon=True, name=f"feed of {address}")
        self._channel = grpc.insecure_channel(address, options=RECONNECT)
        self._read = read
        self._events = events
        self._closed = threading.Event()

    def run(self) -> None:
        """Read until closed."""
        while not self._closed.wait(POLL_S):
            try:
                for event in self._read(self._channel):
                    self._events.put(event)
            except (grpc.RpcError, ValueError):  # ValueError: the channel was closed meanwhile
                continue

    def close(self) -> None:
        """Stop reading and end the thread."""
        self._closed.set()
        self._channel.close()
        self.join(DEADLINE_S)


def stage_status(channel: grpc.Channel) -> Iterator[Event]:
    """What the stage holds, once."""
    stub = stage_pb2_grpc.StageStub(channel)
    yield StageSeen(stub.GetStatus(stage_pb2.GetStatusRequest(), timeout=DEADLINE_S))


def daemon_ticks(channel: grpc.Channel) -> Iterator[Event]:
    """Every tick of the daemon, with what is pending when something is."""
    stub = controller_pb2_grpc.ControllerStub(channel)
    for status in stub.WatchDecisions(controller_pb2.WatchDecisionsRequest()):
        pending: Sequence[controller_pb2.Envelope] = ()
        if status.pending:
            request = controller_pb2.ListPendingRequest()
            pending = stub.ListPending(request, timeout=DEADLINE_S).pending
        yield DaemonSeen(status, pending)
