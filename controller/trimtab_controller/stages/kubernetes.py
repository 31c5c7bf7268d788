"""Acts on a service in a cluster: reads what the watches keep, writes to the API server."""

from __future__ import annotations

import logging
import math
from datetime import UTC, datetime

from trimtab_controller.config import ServiceSpec
from trimtab_controller.kubernetes.api import JSON
from trimtab_controller.kubernetes.cluster import Cluster
from trimtab_controller.kubernetes.copies import Copies
from trimtab_controller.kubernetes.events import event
from trimtab_controller.kubernetes.faults import ApiError, Fault
from trimtab_controller.kubernetes.kinds import EVENTS
from trimtab_controller.kubernetes.lookout import Lookout
from trimtab_controller.kubernetes.scene import Scene
from trimtab_controller.kubernetes.writes import Write, beyond, explained, steps
from trimtab_controller.protocols import (
    WRITER,
    Intent,
    StageError,
    StageMovedError,
    StageRefusedError,
    StageReport,
)
from trimtab_controller.variants.mirror import Running, Wanted

log = logging.getLogger(__name__)

# All writes of one intent together. Whoever loses the lease has stopped writing by this margin.
APPLY_S = 3.0


class KubernetesStage:
    """One service on a cluster. Its watches begin with `Cluster.start`.

    A cluster lets go of no copies by itself: somebody has to come and take them away.
    """

    lets_go_s = math.inf

    def __init__(self, spec: ServiceSpec, cluster: Cluster) -> None:
        self._cluster = cluster
        self._lookout = Lookout(spec, cluster)
        assert spec.kubernetes  # noqa: S101  # for mypy: the configuration has checked it
        # Variants get copies from a route; without one there are none.
        self.route = spec.kubernetes.route
        self._copies = Copies(cluster.api, self._lookout, self.route)
        # What the last event said of pods that wait for a node.
        self._told = ""

    def status(self) -> StageReport:
        """What is kept of it, as old as its oldest part; raises `StageError`. No call is made."""
        return self._lookout.look().report()

    def apply(self, intent: Intent) -> str:
        """Write what differs, in order; returns the new version.

        Something of it may remain to be done: the next tick sees that.
        """
        try:
            return self._cluster.call(self._apply(intent), APPLY_S)
        except ApiError as error:
            raise StageError(str(error)) from error

    def mirror(self, wanted: Wanted) -> list[Running]:
        """Have just these variants run; raises `StageError`, and `StageRefusedError` for good."""
        try:
            return self._cluster.call(self._copies.have(wanted), APPLY_S)
        except ApiError as error:
            raise StageError(str(error)) from error

    async def _apply(self, intent: Intent) -> str:
        scene = self._lookout.look()
        if scene.version != intent.version:
            # Either somebody else wrote, or we did and were not answered: the server knows.
            scene = await self._lookout.refreshed()
        if scene.carries(intent.request_id):
            # Whoever wrote after us must not be taken for us: then the old version is returned.
            return scene.version if scene.writer == WRITER else intent.version
        _check(scene, intent, intent.version)
        before = scene
        for _ in steps(before, intent):
            try:
                scene = await self._advanced(scene, intent)
            except StageRefusedError as error:
                if scene is before:
                    raise
                log.warning("the rest is left to the next tick: %s", error)
                break
        return scene.version

    async def _advanced(self, scene: Scene, intent: Intent) -> Scene:
        """What is after the next write; once more when a conflict was about nothing of ours."""
        api, write = self._cluster.api, steps(scene, intent)[0]
        try:
            try:
                kept = await write.send(api, intent)
            except ApiError as error:
                if error.fault is not Fault.CONFLICT:
                    raise
                version, scene = scene.version, await self._lookout.refreshed()
                _check(scene, intent, version)
                write = steps(scene, intent)[0]
                kept = await write.send(api, intent)
        except ApiError as error:
            raise _kind(error)(str(error)) from error
        self._lookout.written(kept)
        self._tell(write, intent, scene)
        return scene.after(kept)

    def _tell(self, write: Write, intent: Intent, scene: Scene) -> None:
        """Events on what was written; that some cannot be written is nobody's trouble."""
        now = datetime.fromtimestamp(self._cluster.clock(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        events = [event(write.thing, write.reason, explained(write.words, intent), now)]
        stuck = "; ".join(group.stuck for group in scene.groups if group.stuck)
        if stuck not in ("", self._told):
            events.append(event(write.thing, "Unschedulable", stuck, now, warns=True))
        self._told = stuck
        path = EVENTS.path(scene.namespace)
        for each in events:
            self._cluster.spare(self._cluster.api.write("POST", path, each, JSON))


def _check(scene: Scene, intent: Intent, version: str) -> None:
    """Only the leader writes, on what is, past no other owner, and only what can be."""
    if scene.epoch.deposes(intent.epoch):
        number, leader = scene.epoch
        raise StageRefusedError(f"{leader} leads under epoch {number}")
    if scene.version != version:
        raise StageMovedError(f"{Fault.CONFLICT}: {scene.writer} wrote since it was decided")
    if refused := scene.barred or beyond(scene, intent):
        raise StageRefusedError(refused)


def _kind(error: ApiError) -> type[StageError]:
    """What a failed write means: whether it may have arrived, and whether somebody was faster."""
    if not error.certain:
        return StageError
    return StageMovedError if error.fault is Fault.CONFLICT else StageRefusedError
