"""The steps' dataclasses as compact JSON lists, for the journal.

Positional, because every tick writes them: about half the bytes of named fields. Numbers keep
every digit, so that a recorded tick replays exactly.
"""

from __future__ import annotations

import dataclasses
import enum
import math
from functools import cache
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


def pack(value: Any) -> Any:
    """Turn dataclasses and tuples into lists, enums into names, non-finite numbers into null."""
    if dataclasses.is_dataclass(value):
        return [pack(getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, tuple):
        return [pack(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


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
