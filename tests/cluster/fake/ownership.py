"""Who owns which field: ``metadata.managedFields`` read, changed and written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.cluster.fake.errors import Object
from tests.cluster.fake.kinds import Kind
from tests.cluster.fake.paths import Path, as_tree, fields, from_tree


@dataclass(frozen=True, slots=True, order=True)
class Manager:
    """One entry of managedFields: the same name owns apart what it applied and what it updated."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""


class Owners:
    """The fields of one object by their managers, with the time of each one's last change."""

    def __init__(self, thing: Object) -> None:
        entries = thing["metadata"].get("managedFields", ())
        self.fields: dict[Manager, set[Path]] = {}
        self.times: dict[Manager, str] = {}
        for entry in entries:
            manager = Manager(
                entry["manager"],
                entry["operation"],
                entry["apiVersion"],
                entry.get("subresource", ""),
            )
            self.fields[manager] = set(from_tree(entry["fieldsV1"]))
            self.times[manager] = entry["time"]

    def updated(self, kind: Kind, writer: Manager, old: Object, new: Object, time: str) -> None:
        """``writer`` made ``old`` into ``new``: what it changed is its own, and nobody else's."""
        before, after = fields(kind, old), fields(kind, new)
        changed = {p for p, value in after.items() if p not in before or before[p] != value}
        self._lose(changed | (before.keys() - after.keys()))
        if changed - self.fields.get(writer, set()):
            self.times[writer] = time
        self.fields[writer] = self.fields.get(writer, set()) | changed

    def applied(self, writer: Manager, config: set[Path], taken: set[Path], time: str) -> None:
        """``writer`` applied exactly the fields of ``config``, and took some from others."""
        self._lose(taken)
        if self.fields.get(writer) != config or taken:
            self.times[writer] = time
        self.fields[writer] = config

    def others(self, writer: Manager) -> Iterator[tuple[Manager, set[Path]]]:
        """Everybody else's fields."""
        return ((m, owned) for m, owned in self.fields.items() if m != writer)

    def written(self, kind: Kind, thing: Object) -> Object:
        """``thing`` with its managedFields; of fields that are gone nobody is the owner."""
        there = fields(kind, thing).keys()
        owned = {manager: paths & there for manager, paths in self.fields.items()}
        entries = [
            self._entry(manager, owned[manager]) for manager in sorted(owned) if owned[manager]
        ]
        return {**thing, "metadata": {**thing["metadata"], "managedFields": entries}}

    def _lose(self, paths: set[Path]) -> None:
        self.fields = {manager: owned - paths for manager, owned in self.fields.items()}

    def _entry(self, manager: Manager, owned: set[Path]) -> Object:
        entry = {
            "manager": manager.name,
            "operation": manager.operation,
            "apiVersion": manager.api_version,
            "time": self.times[manager],
            "fieldsType": "FieldsV1",
            "fieldsV1": as_tree(owned),
        }
        return {**entry, "subresource": manager.subresource} if manager.subresource else entry


def without_history(thing: Mapping[str, object]) -> Object:
    """What is compared to tell whether a write changed anything: all but times and versions."""
    metadata: Object = dict(thing["metadata"])  # type: ignore[call-overload]  # always a mapping
    metadata.pop("resourceVersion", None)
    entries = metadata.get("managedFields", ())
    metadata["managedFields"] = [{**entry, "time": ""} for entry in entries]
    return {**thing, "metadata": metadata}
