"""Reads YAML into frozen dataclasses, so that the classes themselves are the schema.

Every error names file, line, place and the way out: a limits file with a silent typo would be
a limit that does not hold. Unknown and repeated keys are therefore errors, too.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints

import yaml

T = TypeVar("T")


class ConfigError(Exception):
    """What is wrong in a configuration file, where, and what to do."""


@dataclass(frozen=True, slots=True)
class Range:
    """What a number may be: from ``least`` to ``most``, both included, and more than ``above``.

    Any annotation with ``least`` and ``most`` is checked alike; the guard has its own.
    """

    least: float = -math.inf
    most: float = math.inf
    above: float = -math.inf


Positive = Annotated[float, Range(above=0.0)]
NotNegative = Annotated[float, Range(least=0.0)]
Share = Annotated[float, Range(least=0.0, most=1.0, above=0.0)]
Count = Annotated[int, Range(least=1)]


class Place(NamedTuple):
    """A node of the document, and the path to it for messages (``services[0].slo``)."""

    node: yaml.Node
    path: str
    file: Path

    def child(self, node: yaml.Node, key: str | int) -> Place:
        """The place below this one."""
        step = f"[{key}]" if isinstance(key, int) else f".{key}" if self.path else key
        return Place(node, f"{self.path}{step}", self.file)

    def error(self, problem: str) -> ConfigError:
        """An error at this place."""
        line = self.node.start_mark.line + 1
        return ConfigError(f"{self.file}:{line}: {self.path or 'the file'}: {problem}")


def read_file(file: Path, kind: type[T]) -> T:
    """Read the whole file as one ``kind``; raises `ConfigError`."""
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror}: give the path of a readable file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text: {error}") from error
    return parse(text, file, kind)


def parse(text: str, file: Path, kind: type[T]) -> T:
    """Read ``text``, which is or will be in ``file``, as one ``kind``; raises `ConfigError`."""
    try:
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ConfigError(f"{file}:{line}: not YAML: {error.problem}") from error
    if node is None:
        keys = ", ".join(_required(dataclasses.fields(kind)))  # type: ignore[arg-type] # a dataclass
        raise ConfigError(f"{file}:1: the file is empty: give it the keys {keys}")
    document: T = read(Place(node, "", file), kind)
    return document


def read(place: Place, kind: Any) -> Any:
    """Read one node as ``kind``.

    That is a dataclass, an enum, a tuple, a scalar, ``X | None``, any of them by names that the
    writer chooses (``Mapping[str, X]``), or `Place`: not read yet.
    """
    if Place in (kind, *get_args(kind)):
        return place
    if get_origin(kind) is Annotated:
        return _read_checked(place, *get_args(kind))
    if get_origin(kind) is UnionType:
        return read(place, get_args(kind)[0])
    if get_origin(kind) is tuple:
        return _read_sequence(place, get_args(kind)[0])
    if get_origin(kind) is Mapping:
        each = get_args(kind)[1]
        return {name: read(child, each) for name, child in _children(place, None).items()}
    if dataclasses.is_dataclass(kind):
        return read_mapping(place, kind, {})
    if issubclass(kind, enum.Enum):
        return _read_choice(place, kind)
    return _read_scalar(place, kind)


def read_mapping(place: Place, kind: Any, given: Mapping[str, Any]) -> Any:
    """Read a mapping as the dataclass ``kind``; ``given`` fields come from elsewhere."""
    hints = get_type_hints(kind, include_extras=True)
    fields = {f.name: f for f in dataclasses.fields(kind) if f.init and f.name not in given}
    children = _children(place, list(fields))
    for name in _required(fields.values()):
        if name not in children:
            raise place.error(f"{name!r} is missing: add it here")
    values = {name: read(child, hints[name]) for name, child in children.items()}
    try:
        return kind(**given, **values)
    except ValueError as error:
        raise place.error(str(error)) from error


def _required(fields: Iterable[dataclasses.Field[Any]]) -> list[str]:
    missing = dataclasses.MISSING
    return [f.name for f in fields if f.default is f.default_factory is missing]


def _children(place: Place, known: list[str] | None) -> dict[str, Place]:
    """The places below this one by their keys, of which only ``known`` ones may be there."""
    if not isinstance(place.node, yaml.MappingNode):
        keys = f" with the keys {', '.join(known)}" if known else ", NAME: value"
        raise place.error(f"must be a mapping{keys}")
    children: dict[str, Place] = {}
    for key_node, value_node in place.node.value:
        key = str(key_node.value)
        at_key = place.child(key_node, key)
        if known is not None and key not in known:
            near = get_close_matches(key, known, n=1)
            fix = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise at_key.error(f"unknown key: {fix}")
        if key in children:
            raise at_key.error("written twice: remove one")
        children[key] = place.child(value_node, key)
    return children


def _read_sequence(place: Place, kind: Any) -> tuple[Any, ...]:
    if not isinstance(place.node, yaml.SequenceNode) or not place.node.value:
        raise place.error("must be a list with at least one entry")
    items = enumerate(place.node.value)
    return tuple(read(place.child(node, index), kind) for index, node in items)


def _read_checked(place: Place, kind: Any, bounds: Any) -> Any:
    value = read(place, kind)
    if value <= getattr(bounds, "above", -math.inf):
        raise place.error(f"{value:g} must be more than {bounds.above:g}")
    if not bounds.least <= value <= bounds.most:
        allowed = f"{bounds.least:g} or more"
        if math.isfinite(bounds.most):
            allowed = f"from {bounds.least:g} to {bounds.most:g}"
        raise place.error(f"{value:g} must be {allowed}")
    return value


def _read_choice(place: Place, kind: type[enum.Enum]) -> enum.Enum:
    choices = {member.name.lower().replace("_", "-"): member for member in kind}
    if place.node.value not in choices:
        raise place.error(f"{place.node.value!r} must be one of {', '.join(choices)}")
    return choices[place.node.value]


def _read_scalar(place: Place, kind: type) -> Any:
    tags = {str: ("str",), bool: ("bool",), int: ("int",), float: ("int", "float")}[kind]
    if place.node.tag.rpartition(":")[2] not in tags:
        noun = {
            str: "text, in quotes",
            bool: "true or false",
            int: "a whole number",
            float: "a number",
        }[kind]
        shown = place.node.value if isinstance(place.node, yaml.ScalarNode) else "this"
        raise place.error(f"{shown!r} must be {noun}")
    value = kind(yaml.SafeLoader("").construct_object(place.node))
    if isinstance(value, float) and not math.isfinite(value):
        raise place.error(f"{value} must be a finite number")
    return value


def check_unique(what: str, names: Sequence[str]) -> None:
    """``ValueError`` names the first that is listed twice."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{what} {name!r} is listed twice: rename or remove one")
