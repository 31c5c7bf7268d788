"""The pods of a namespace by their labels: thousands of pods and many services, every tick."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from trimtab_controller.kubernetes.objects import Pod, Selector
from trimtab_controller.kubernetes.watch import Watch

Index = Mapping[tuple[str, str], Sequence[Pod]]


class Pods:
    """What ``watch`` keeps, found by selector."""

    def __init__(self, watch: Watch[Pod]) -> None:
        self.watch = watch
        self._changes = -1
        self._by_label: Index = {}

    def picked(self, selector: Selector) -> list[Pod]:
        """The pods that ``selector`` picks."""
        if not selector.equal:
            return [pod for pod in self.watch.all() if selector.picks(pod.labels)]
        if self._changes != self.watch.changes:
            self._changes = self.watch.changes
            self._by_label = indexed(self.watch.all())
        fewest = min((self._by_label.get(each, ()) for each in selector.equal.items()), key=len)
        return [pod for pod in fewest if selector.picks(pod.labels)]


def indexed(pods: Sequence[Pod]) -> Index:
    """The pods that carry each label."""
    by_label = defaultdict(list)
    for pod in pods:
        for label in pod.labels.items():
            by_label[label].append(pod)
    return by_label
