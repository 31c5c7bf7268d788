"""Loops over backends, compiled by Numba: the simulator's ticks, which training waits for.

What happens to one backend is written as scalars, as one would say it. Only the simulator, its
environments and the fit compile anything; the daemon runs none of them, and never imports Numba.
What it shares with them is written in the words of ``rows``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import njit, types
from numba.core.caching import FunctionCache
from numba.extending import lower_builtin, overload, register_jitable, type_callable
from numba.np.arrayobj import make_array

from trimtab_sim import rows

Function = TypeVar("Function", bound=Callable[..., Any])


@cache
def _newest(folder: Path) -> int:
    return max(file.stat().st_mtime_ns for file in folder.glob("*.py"))


class _Cache(FunctionCache):  # type: ignore[misc]  # Numba ships no types
    """Compiles anew when any file beside this or the function's has changed.

    Numba's looks at the function's own alone.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        beside = (Path(file).parent for file in (__file__, function.__code__.co_filename))
        self._cache_file._source_stamp = (self._cache_file._source_stamp, *map(_newest, beside))


def compiled(function: Function) -> Function:
    """``function`` as machine code, made when it is first called and kept beside its source.

    It divides as NumPy does, by zero to infinity, and may make no arrays: to count who holds one,
    and to hand it from one function to another, would take longer than a tick computes.
    """
    kernel = njit(error_model="numpy", _nrt=False, forceinline=True)(function)
    kernel._cache = _Cache(function)
    machine: Function = kernel
    return machine


def record(*names: str) -> np.dtype[np.void]:
    """What is known of one backend, as floats that kernels read and write by name."""
    return np.dtype([(name, np.float64) for name in names])


def _meaning(word: Function) -> Callable[[Function], Function]:
    """What a word of ``rows`` means where a loop goes through one row after the other."""
    # Not strict: that would have the annotations of both agree.
    decorator: Callable[[Function], Function] = overload(word, strict=False)
    return decorator


@type_callable(rows.each)  # type: ignore[untyped-decorator]  # Numba ships no types
def _each(context: Any) -> Callable[[Any], Any]:  # noqa: ARG001 - Numba's contract
    def kind(array: Any) -> Any:
        return types.range_state64_type if array.ndim == 1 else types.NumpyNdIndexType(array.ndim)

    return kind


@lower_builtin(rows.each, types.Array)  # type: ignore[untyped-decorator]  # as above
def _each_place(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """``range`` or ``np.ndindex`` themselves: no function of Numba's may return the latter."""
    array = signature.args[0]
    shape = make_array(array)(context, builder, arguments[0]).shape
    if array.ndim == 1:
        places = context.get_function(range, signature.return_type(types.int64))
        return places(builder, [builder.extract_value(shape, 0)])
    extent = types.UniTuple(types.intp, array.ndim)
    places = context.get_function(np.ndindex, signature.return_type(extent))
    return places(builder, [shape])


@_meaning(rows.those)
def _those(marked: Any) -> Any:  # noqa: ARG001 - types, to Numba
    def places(marked: Any) -> Any:
        for row in range(len(marked)):
            if marked[row]:
                yield row

    return places


@_meaning(rows.where)
def _where(condition: Any, then: Any, other: Any) -> Any:  # noqa: ARG001 - types, to Numba
    return lambda condition, then, other: then if condition else other


@_meaning(rows.whole)
def _whole(number: Any) -> Any:  # noqa: ARG001 - as above
    return lambda number: math.floor(number)


@_meaning(rows.of_row)
def _of_row(array: Any, at: Any) -> Any:  # noqa: ARG001 - as above
    return lambda array, at: array[at[0]]


@_meaning(rows.of_column)
def _of_column(array: Any, at: Any) -> Any:  # noqa: ARG001 - as above
    return lambda array, at: array[at[1]]


@_meaning(rows.blend)
def _blend(layers: Any, parts: Any, at: Any) -> Any:  # noqa: ARG001 - as above
    def blended(layers: Any, parts: Any, at: tuple[int, int]) -> float:
        b, k = at
        amount = 0.0
        for e in range(len(layers)):
            amount += layers[e, b, k] * parts[b, k, e]
        return amount

    return blended


@_meaning(rows.row_total)
def _row_total(array: Any, row: Any) -> Any:  # noqa: ARG001 - as above
    def total(array: Any, row: int) -> float:
        amount = 0.0
        for k in range(array.shape[1]):
            amount += array[row, k]
        return amount

    return total


@_meaning(rows.total)
def _total(array: Any, at: Any) -> Any:  # noqa: ARG001 - as above
    return lambda array, at: rows.row_total(array, at[0])


@_meaning(rows.ring_most)
def _ring_most(array: Any, row: Any, start: Any, reach: Any) -> Any:  # noqa: ARG001 - as above
    def most(array: Any, row: int, start: float, reach: float) -> float:
        places, highest = array.shape[1], 0.0
        for place in range(places):
            away = place + 0.5 - start
            if away < 0.0:
                away += places
            if away <= reach:
                highest = max(highest, array[row, place])
        return highest

    return most


@_meaning(rows.row_most)
def _row_most(array: Any, row: Any) -> Any:  # noqa: ARG001 - as above
    def most(array: Any, row: int) -> float:
        highest = array[row, 0]
        for k in range(1, array.shape[1]):
            highest = max(highest, array[row, k])
        return float(highest)

    return most


@_meaning(rows.row_middle)
def _row_middle(array: Any, row: Any) -> Any:  # noqa: ARG001 - as above
    def middle(array: Any, row: int) -> float:
        # By far not the fastest way, but rows are short, and stay as they are.
        values, rank = array[row], array.shape[1] // 2
        for value in values:
            below = up_to = 0
            for other in values:
                below += other < value
                up_to += other <= value
            if below <= rank < up_to:
                return float(value)
        return math.nan

    return middle


@_meaning(rows.order)
def _order(array: Any) -> Any:  # noqa: ARG001 - as above
    return lambda array: None  # noqa: ARG005 - as above


@_meaning(rows.row_ranked)
def _row_ranked(array: Any, row: Any, before: Any, rank: Any) -> Any:  # noqa: ARG001 - as above
    def ranked(array: Any, row: int, before: int, rank: int) -> float:
        # Hoare's selection; it leaves nothing less behind what it found than that.
        values, low, high = array[row], before, array.shape[1] - 1
        while low < high:
            pivot, i, j = values[(low + high) // 2], low, high
            while i <= j:
                while values[i] < pivot:
                    i += 1
                while values[j] > pivot:
                    j -= 1
                if i <= j:
                    values[i], values[j] = values[j], values[i]
                    i, j = i + 1, j - 1
            if rank <= j:
                high = j
            elif rank >= i:
                low = i
            else:
                break
        return float(values[rank])

    return ranked


@_meaning(rows.unroll)
def _unroll(lines: Any, rings: Any, rows: Any, head: int) -> Any:  # noqa: ARG001 - as above
    def unrolled(lines: Any, rings: Any, rows: Any, head: int) -> None:
        before = rings.shape[1] - head
        for i in range(len(rows)):
            for place in range(rings.shape[1]):
                at = place + head if place < before else place - before
                lines[i, place] = rings[rows[i], at]

    return unrolled


def compile_rows() -> None:
    """Compile all loops ``by_row`` that have been imported, each when it is first called."""
    for function in rows.PARTS:
        register_jitable(function)
    for loop in rows.LOOPS:
        loop.run = compiled(loop.plain)
