"""Stands for election, if the configuration says so, and leads only while it is won."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from uuid import uuid4

from trimtab_controller.election.candidate import Candidate
from trimtab_controller.election.spec import LeaseSpec


def stand(spec: LeaseSpec | None, context: str, parts: ExitStack) -> Candidate | None:
    """Our part in the election; it lets the next one in when nothing more can be written.

    ``context`` is the kubeconfig's. `ConfigError` when there is no way to an API server.
    """
    if not spec:
        return None
    from trimtab_controller.election.lease import KubernetesLease  # the client takes half a second
    from trimtab_controller.kubernetes.api import Api

    # A pod's name says where to look; a container that restarts in it is somebody else.
    me = f"{socket.gethostname()}_{uuid4().hex[:8]}"
    candidate = Candidate(me, spec, KubernetesLease(spec, Api(context)))
    parts.callback(candidate.close)
    return candidate


def while_leading(tick: Callable[[], None], candidate: Candidate | None) -> Callable[[], None]:
    """``tick``, until another leads: then `LeadershipLostError`, for all that we know is old."""
    if not candidate:
        return tick

    def tick_unless_lost() -> None:
        candidate.check()
        tick()

    return tick_unless_lost
