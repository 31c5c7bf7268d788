"""Loops over backends, compiled by Numba: the simulator's ticks, which training waits for.

What happens to one backend is written as scalars, as one would say it. Only the simulator, its
environments and the fit compile anything; the daemon runs none of them, and never imports Numba.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numba import njit
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., Any])
_NEWEST = max(file.stat().st_mtime_ns for file in Path(__file__).parent.glob("*.py"))


class _Cache(FunctionCache):  # type: ignore[misc]  # Numba ships no types
    """Compiles anew when any file here has changed; Numba's looks at the function's own alone."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        self._cache_file._source_stamp = (self._cache_file._source_stamp, _NEWEST)


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
