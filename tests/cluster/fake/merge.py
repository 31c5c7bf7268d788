"""How a patch becomes an object: RFC 6902, RFC 7386, strategic merge, and server-side apply."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import jsonpatch
from tests.cluster.fake.errors import Object, apply_conflict, rejected_patch
from tests.cluster.fake.kinds import SET, Kind
from tests.cluster.fake.ownership import Manager, Owners
from tests.cluster.fake.paths import Path, element, fields, remove, shown

JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


def json_patched(thing: Object, operations: list[Object]) -> Object:
    try:
        return dict(jsonpatch.apply_patch(thing, operations))
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
        raise rejected_patch(str(error)) from error


def merge_patched(thing: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return deepcopy(patch)
    merged = dict(thing) if isinstance(thing, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patched(merged.get(name), value)
    return merged


def merged(kind: Kind, thing: Any, patch: Any, place: str = "") -> Any:
    """``patch`` on top of ``thing``, lists by their keys; ``None`` takes a field out."""
    if isinstance(patch, dict) and isinstance(thing, dict) and place not in kind.atomic:
        return _merged_map(kind, thing, patch, place)
    keys = kind.merged_by(place) if isinstance(patch, list) and isinstance(thing, list) else None
    if keys is not None:
        return _merged_list(kind, thing, patch, place, keys)
    return _bare(patch)


def _merged_map(kind: Kind, thing: Object, patch: Object, place: str) -> Object:
    result = dict(thing)
    for name, value in patch.items():
        if name.startswith("$"):  # kubectl's notes on order, which nothing here depends on
            continue
        inside = f"{place}.{name}" if place else name
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(kind, result.get(name), value, inside)
    return result


def _merged_list(
    kind: Kind, things: list[Any], patch: list[Any], place: str, keys: tuple[str, ...]
) -> list[Any]:
    if keys == SET:
        return [*things, *(item for item in patch if item not in things)]
    items = {element(item, keys): item for item in things}
    for item in patch:
        at = element(item, keys)
        if item.get("$patch") == "delete":
            items.pop(at, None)
        else:
            items[at] = merged(kind, items.get(at), item, place)
    return list(items.values())


def _bare(patch: Any) -> Any:
    """A new value without the patch's own marks: there is nothing yet to delete."""
    if isinstance(patch, dict):
        kept = {k: v for k, v in patch.items() if v is not None and not k.startswith("$")}
        return {name: _bare(value) for name, value in kept.items()}
    return [_bare(item) for item in patch] if isinstance(patch, list) else patch


def applied(
    kind: Kind, live: Object, config: Object, writer: Manager, *, force: bool, time: str
) -> tuple[Object, Owners]:
    """Server-side apply: what becomes of ``live``, and who owns it then."""
    owners = Owners(live)
    wanted, present = fields(kind, config), fields(kind, live)
    differing = {p for p, value in wanted.items() if p not in present or present[p] != value}
    contested = [(m, p) for m, owned in owners.others(writer) for p in owned & differing]
    if contested and not force:
        raise apply_conflict(sorted((_told(m), shown(p)) for m, p in contested))
    result: Object = merged(kind, deepcopy(live), config)
    for path in _given_up(owners, writer, wanted.keys()):
        remove(result, path)
    owners.applied(writer, set(wanted), {path for _, path in contested}, time)
    return result, owners


def _given_up(owners: Owners, writer: Manager, wanted: Any) -> list[Path]:
    """What ``writer`` applied before and leaves out now, unless somebody else owns it too."""
    held = {path for _, owned in owners.others(writer) for path in owned}
    dropped = owners.fields.get(writer, set()) - wanted - held
    kept = [path for path in dropped if not any(path == other[: len(path)] for other in held)]
    return sorted(kept, key=len, reverse=True)


def _told(manager: Manager) -> str:
    below = f" with subresource {manager.subresource!r}" if manager.subresource else ""
    return f'"{manager.name}"{below} using {manager.api_version}'
