"""The steps' dataclasses as compact JSON lists, for the journal.

Positional, because every tick writes them: about half the bytes of named fields. Numbers keep
every digit, so that a recorded tick replays exactly.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Callable, Iterable
from functools import cache
from math import isfinite
from operator import attrgetter
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


# Most of what is packed is one of these, and stays as it is.
_PLAIN = frozenset({bool, int, str, type(None)})


def pack(value: Any) -> Any:
    """Turn dataclasses and tuples into lists, enums into names, non-finite numbers into null."""
    return _packed((value,))[0]


def _packed(values: Iterable[Any]) -> list[Any]:
    packed = []
    for value in values:
        kind: Any = type(value)  # to mypy a class is not hashable, which the cache asks for
        if kind in _PLAIN:
            packed.append(value)
        elif kind is float:
            packed.append(value if isfinite(value) else None)
        else:
            packed.append(_packer(kind)(value))
    return packed


@cache
def _packer(kind: type) -> Callable[[Any], Any]:
    """How values of one class are packed: found out once, because every tick packs thousands."""
    if dataclasses.is_dataclass(kind):
        names = [field.name for field in dataclasses.fields(kind)]
        if len(names) > 1:  # only then they come as a tuple
            fields = attrgetter(*names)
            return lambda value: _packed(fields(value))
        return lambda value: _packed([getattr(value, name) for name in names])
    if issubclass(kind, enum.Enum):
        return attrgetter("_name_")  # as ``name``, which is looked for every time
    if issubclass(kind, tuple):
        return _packed
    if issubclass(kind, float):
        return _number
    return lambda value: value


def _number(value: float) -> float | None:
    return value if isfinite(value) else None


def unpack(kind: type[T], packed: Any) -> T:
    """Rebuild ``kind`` from what `pack` made of it; null numbers come back as NaN.

    Fields that an older journal did not have yet take their defaults.
    """
    result: T = _unpack(kind, packed)
    return result


def _unpack(kind: Any, packed: Any) -> Any:
    if get_origin(kind) is UnionType:
        return None if packed is None else _unpack(get_args(kind)[0], packed)
    if get_origin(kind) is tuple:
        return tuple(_unpack(get_args(kind)[0], item) for item in packed)
    if dataclasses.is_dataclass(kind) or hasattr(kind, "_fields"):
        hints = _hints(kind)
        return kind(*(_unpack(hint, item) for hint, item in zip(hints, packed, strict=False)))
    if issubclass(kind, enum.Enum):
        return kind[packed]
    # A policy may have proposed NaN replicas, too, and the guard must find that again.
    return math.nan if packed is None and kind in (int, float) else packed


@cache
def _hints(kind: Any) -> tuple[Any, ...]:
    return tuple(get_type_hints(kind).values())
