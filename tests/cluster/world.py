"""One service on a cluster, from end to end: the real stage, with a clock that tests move."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.cluster.fixtures import Cluster
from tests.cluster.objects import autoscaler, definition, deployment, route
from tests.controller.conftest import World

from trimtab_controller.board import Status
from trimtab_controller.kubernetes.cluster import Cluster as Sight
from trimtab_controller.protocols import StageError
from trimtab_controller.stages.kubernetes import KubernetesStage
from trimtab_guard.modes import Mode

# For what comes by itself once the cluster answers again: the client's back-off grows to 30 s.
PATIENCE_S = 60.0
SIGHT_S = 0.3
# Kinds of other autoscalers; where they are missing, trimtab looks for them in real time only.
OWNERS = (("keda.sh", "ScaledObject", "v1alpha1"), ("autoscaling.k8s.io", "VerticalPodAutoscaler"))
STEP_S = 0.02


class ClusterWorld(World):
    """`World` with Deployments ``a`` and ``b`` behind the HTTPRoute ``web``, an HPA under each.

    ``watch_s`` is in real seconds, as all waiting for the API is; ticks are of the test's clock.
    """

    def __init__(self, folder: Path, mode: Mode, cluster: Cluster, watch_s: int = 600) -> None:
        self.cluster = cluster
        self.watch_s = watch_s
        self.sight: Sight | None = None
        # How long a tick waits for its sight of the cluster, in real seconds.
        self.sight_s = SIGHT_S
        for owner in OWNERS:
            cluster.client.define(definition(*owner))
        self.settle()
        super().__init__(folder, mode)

    def settle(self, least: int = 1) -> None:
        """Make the objects, with ``least`` as the floor of ``a``."""
        for name in "ab":
            self.cluster.client.create(deployment(name))
            floor = least if name == "a" else 1
            self.cluster.client.create(autoscaler(name, floor, 20))
        self.cluster.client.create(route("web", {"a": 50, "b": 50}))

    def configure(self, text: str) -> None:
        """The service of `World`, on Kubernetes."""
        home = f"kubernetes: {{namespace: {self.cluster.namespace}, route: web}}"
        text = text.replace("stage: {socket: /nowhere}", f"{home}\n    sensor: pushed")
        for name in "ab":
            target = f"target: {{kind: Deployment, name: {name}}}"
            text = text.replace(f"{{name: {name}, conc", f"{{name: {name}, {target}, conc")
        super().configure(text)

    def boot(self) -> None:
        """A new process: new watches, and the same journal."""
        self.close()
        self.sight = Sight("", self.clock, self.watch_s)
        spec = self.config.services[0].spec
        self.stages["web"] = KubernetesStage(spec, self.sight)  # type: ignore[assignment]  # another stage
        self.sight.start(PATIENCE_S)
        super().boot()

    def close(self) -> None:
        if self.sight:
            self.sight.close()

    def tick(self, times: int = 1) -> Status:
        """Ticks, each with what the watches bring until then."""
        for _ in range(times):
            self.clock.now_s += 1.0
            self.look(self.sight_s)
            self.loop.tick()
        return self.board.latest()[1][0]

    def until(self, done: Callable[[], bool]) -> Status:
        """Tick until it is so; the cluster has real time for its part."""
        end_s = time.monotonic() + PATIENCE_S
        while not done():
            if time.monotonic() > end_s:
                raise TimeoutError(f"not within {PATIENCE_S} s: {self.board.latest()[1][0].tick}")
            self.tick()
            time.sleep(STEP_S)
        return self.board.latest()[1][0]

    def look(self, patience_s: float) -> bool:
        """Whether the stage sees what is now, within so many real seconds."""
        if self.cluster.fake:
            self.cluster.fake.bookmark()
        end_s = time.monotonic() + patience_s
        while not (seen := self._sees()) and time.monotonic() < end_s:
            time.sleep(0.005)
        return seen

    def _sees(self) -> bool:
        with suppress(StageError):
            return self.stage.status().time_s >= self.clock.now_s
        return False

    @property
    def floors(self) -> tuple[int, int]:
        """As the API server has them."""
        least, other = (
            self.cluster.client.get("HorizontalPodAutoscaler", name)["spec"]["minReplicas"]
            for name in "ab"
        )
        return least, other
