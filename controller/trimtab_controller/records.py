"""The steps' dataclasses as compact JSON lists, for the journal.

Positional, because every tick writes them: about half the bytes of named fields. Numbers keep
every digit, so that a recorded tick replays exactly. orjson writes ticks, in a fifth of the time
of the standard library's encoder.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Callable, Iterable
from functools import cache, partial
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import orjson

T = TypeVar("T")


def pack(value: Any) -> Any:
    """Turn dataclasses and tuples into lists, enums into names, non-finite numbers into null."""
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple | list):
        return [pack(part) for part in value]
    return pack(_fields(value)) if dataclasses.is_dataclass(value) else value


def _fields(record: Any) -> tuple[Any, ...]:
    return tuple(getattr(record, field.name) for field in dataclasses.fields(record))


def packed_text(value: Any) -> str:
    """What `pack` makes of ``value``, as JSON without spaces, in ASCII."""
    try:
        text = orjson.dumps(value, default=_parts, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except TypeError:  # a number of over 64 bits or half a character: a policy may answer anything
        return _slow_text(value)
    return text.decode() if text.isascii() else _slow_text(value)


def _slow_text(value: Any) -> str:
    return json.dumps(pack(value), separators=(",", ":"), allow_nan=False)


def _parts(value: Any) -> Any:
    """Of what orjson does not know: a dataclass, a named tuple, a float of NumPy's."""
    kind: Any = type(value)  # to mypy a class is not hashable, which the cache asks for
    return _splitter(kind)(value)


@cache
def _splitter(kind: Any) -> Callable[[Any], Any]:
    """Found out once for each class, because every tick writes thousands of each."""
    if dataclasses.is_dataclass(kind):
        return _fields
    if issubclass(kind, float):
        return float
    hints = enumerate(_hints(kind))
    named = [at for at, hint in hints if isinstance(hint, type) and issubclass(hint, enum.Enum)]
    return partial(_with_names, named) if named else tuple


def _with_names(places: Iterable[int], value: tuple[Any, ...]) -> list[Any]:
    """Enums by name: orjson would take their values."""
    parts = list(value)
    for place in places:
        parts[place] = parts[place].name
    return parts


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
