"""Arithmetic on many rows, written once for NumPy and for Numba.

The daemon runs it under NumPy, on all rows at once: it may have thousands, and imports no Numba.
Simulated worlds wait for little else: they have ``compiled`` compile the same lines, one row after
the other. Both give the same numbers, but for the last digit of logarithms and powers,
which their libraries round differently.

A function ``by_row`` takes arrays and writes into them, ``for at in each(array): ...``: under NumPy
that is one round with ``at`` standing for all of the array, compiled one for each of its elements.
``each`` and the functions beside it are what the two read differently; all else that works on an
array as on one of its elements may stand there, and no ``if`` about what is in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

Function = Callable[..., Any]


class Loop:
    """A function over rows, ``plain`` as it was written; ``run`` is what a call of it runs."""

    def __init__(self, plain: Function) -> None:
        self.plain = self.run = plain

    def __call__(self, *arrays: Any) -> None:
        """Run it on arrays that belong together, and numbers."""
        self.run(*arrays)


LOOPS: list[Loop] = []
PARTS: list[Function] = []


def by_row(function: Function) -> Loop:
    """``function`` as a loop over rows, called from Python."""
    LOOPS.append(Loop(function))
    return LOOPS[-1]


def part(function: Function) -> Function:
    """``function`` of numbers or arrays, for loops over rows to call."""
    PARTS.append(function)
    return function


def each(array: Any) -> Iterable[Any]:  # noqa: ARG001 - which Numba goes through
    """Every place in ``array``."""
    return (slice(None),)


def those(marked: Any) -> Iterable[Any]:
    """Every place in ``marked`` ``[B]`` that is not 0; all of them at once may be none."""
    places = marked.nonzero()[0]
    return (places,) if places.size else ()


def where(condition: Any, then: Any, other: Any) -> Any:
    """One or the other; both are computed."""
    return np.where(condition, then, other)


def whole(number: Any) -> Any:
    """The next lower integer, as an index."""
    return np.floor(number).astype(np.intp)


def of_row(array: Any, at: Any) -> Any:  # noqa: ARG001 - the one row, to Numba
    """The value of ``array`` ``[B]`` for the row of a place ``at`` in one of ``[B, K]``."""
    return array[:, None]


def of_column(array: Any, at: Any) -> Any:  # noqa: ARG001 - the one column, to Numba
    """The value of ``array`` ``[K]`` for the column of a place ``at`` in one of ``[B, K]``."""
    return array[None, :]


def blend(layers: Any, parts: Any, at: Any) -> Any:
    """The sum of ``layers`` ``[E, B, K]`` at one place, by their ``parts`` ``[B, K, E]`` of it."""
    return np.einsum("ebk,bke->bk", layers, parts)[at]


def total(array: Any, at: Any) -> Any:  # noqa: ARG001 - the one row, to Numba
    """The sum over the row of ``array`` ``[B, K]`` that the place ``at`` lies in."""
    return array.sum(1, keepdims=True)


def row_total(array: Any, row: Any) -> Any:
    """The sums over the rows of ``array`` ``[B, K]``, at a place in an array of ``[B]``."""
    return array[row].sum(-1)


def ring_most(array: Any, row: Any, start: Any, reach: Any) -> Any:
    """The most that is above 0 in rows of ``array`` ``[B, K]``, rings of K places, each 1 long.

    Only places count whose middle comes at ``reach`` or less after ``start``, going round.
    """
    places = array.shape[1]
    away = np.arange(places) + 0.5 - start[:, None]
    away += places * (away < 0.0)
    return np.maximum((array[row] * (away <= reach[:, None])).max(1), 0.0)


def row_most(array: Any, row: Any) -> Any:
    """The most in each row of ``array`` ``[B, K]``."""
    return array[row].max(-1)


def row_middle(array: Any, row: Any) -> Any:
    """The median of each row of ``array`` ``[B, K]``; of two the upper one."""
    middle = array.shape[1] // 2
    return np.partition(array[row], middle, axis=-1)[..., middle]


def order(array: Any) -> None:
    """Put the rows of ``array`` ``[B, K]`` in the order that ``row_ranked`` needs."""
    array.sort(1)


def row_ranked(array: Any, row: Any, before: Any, rank: Any) -> Any:  # noqa: ARG001 - for Numba
    """What comes after ``rank`` others in a row of an ``array`` that ``order`` was called with.

    Numba sorts no more than is asked for, and only then. The rank asked for ``before`` is not
    above this one; the first time it is 0.
    """
    return np.take_along_axis(array[row], rank[:, None], axis=1)[:, 0]


def unroll(lines: Any, rings: Any, rows: Any, head: int) -> None:
    """Copy chosen ``rows`` of ``rings`` ``[B, K]``, that begin at place ``head``, to ``lines``."""
    before = rings.shape[1] - head
    lines[:, :before] = rings[rows, head:]
    lines[:, before:] = rings[rows, :head]
