"""Objects as sets of fields, in the notation of ``managedFields``: one tuple per leaf.

``("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name")``. Atomic lists and maps are
leaves; an item of a list that is merged by keys is a field of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.cluster.fake.errors import Object
from tests.cluster.fake.kinds import SET, Kind

Path = tuple[str, ...]

# What the server itself keeps has no owner.
UNOWNED = frozenset(
    ("f:metadata", f"f:{name}")
    for name in (
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
        "selfLink",
    )
)


def fields(kind: Kind, thing: Object) -> dict[Path, Any]:
    """Each field that somebody can own, with its value."""
    rest = {name: value for name, value in thing.items() if name not in ("apiVersion", "kind")}
    return {path: value for path, value in _walk(kind, rest, (), "") if path not in UNOWNED}


def _walk(kind: Kind, value: Any, path: Path, place: str) -> Iterator[tuple[Path, Any]]:
    keys = kind.merged_by(place) if isinstance(value, list) else None
    if isinstance(value, dict) and value and place not in kind.atomic:
        for name, inner in value.items():
            inside = f"{place}.{name}" if place else name
            yield from _walk(kind, inner, (*path, f"f:{name}"), inside)
    elif value and keys is not None:
        for item in value:
            at = (*path, element(item, keys))
            yield at, item if keys == SET else {}
            if keys != SET:
                yield from _walk(kind, item, at, place)
    else:
        yield path, value


def element(item: Any, keys: tuple[str, ...]) -> str:
    """How one item of a merged list is named in a path."""
    if keys == SET:
        return f"v:{json.dumps(item)}"
    named = {key: item[key] for key in keys if key in item}
    return f"k:{json.dumps(named, sort_keys=True, separators=(',', ':'))}"


def remove(thing: Object, path: Path) -> None:
    """Take the field at ``path`` out, with what is left empty around it."""
    _remove(thing, path)


def _remove(container: Any, path: Path) -> None:
    place = _find(container, path[0])
    if place is None:
        return
    if path[1:]:
        _remove(container[place], path[1:])
    if not path[1:] or container[place] in ({}, []):
        del container[place]


def _find(container: Any, step: str) -> Any:
    """The key or the index of ``step`` in ``container``; ``None`` when it is not there."""
    sort, name = step[0], step[2:]
    if isinstance(container, dict):
        return name if name in container else None
    if sort == "v":
        value = json.loads(name)
        return container.index(value) if value in container else None
    wanted = json.loads(name).items()
    matches = (i for i, item in enumerate(container) if wanted <= item.items())
    return next(matches, None)


def as_tree(paths: Iterable[Path]) -> Object:
    """``fieldsV1`` of these fields."""
    tree: Object = {}
    for path in sorted(paths):
        node = tree
        for step in path:
            node = node.setdefault(step, {})
        if path[-1][0] == "k":
            node["."] = {}
    return tree


def from_tree(tree: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """The fields of a ``fieldsV1``."""
    for step, inner in tree.items():
        if step == ".":
            yield path
        elif inner:
            yield from from_tree(inner, (*path, step))
        else:
            yield (*path, step)


def shown(path: Path) -> str:
    """As error messages name a field: ``.spec.replicas``."""
    return "".join(f".{step[2:]}" if step[0] == "f" else f"[{step[2:]}]" for step in path)
