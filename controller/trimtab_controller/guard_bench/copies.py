"""The guard, and copies of it with one realistic bug each, which the checker has to find.

A copy is every module under another package's name, one text in it replaced before it is
compiled. ``model`` and ``limits`` are shared: they are only the words.
"""

from __future__ import annotations

import importlib.abc
import sys
from importlib import import_module, resources
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any, NamedTuple

PACKAGE = "trimtab_guard"
SHARED = ("model", "limits")


class Guard(NamedTuple):
    """The modules of one copy of the guard."""

    guard: Any
    history: Any
    ration: Any
    authority: Any
    modes: Any
    schedule: Any
    verification: Any


class Bug(NamedTuple):
    """What goes wrong, and the change that makes it so: ``right`` occurs once in ``module``."""

    name: str
    module: str
    right: str
    wrong: str


BUGS = (
    Bug(
        "a reading that failed is no doubt",
        "senses",
        "if not needed and (believable or math.isnan(value)):",
        "if math.isnan(value) or (believable and not needed):",
    ),
    Bug(
        "a signal is as old as its arrival",
        "senses",
        "age_s = now_s - (last.moved_s if is_frozen else last.time_s)",
        "age_s = now_s - state.time_s",
    ),
    Bug(
        "rate windows start afresh instead of sliding",
        "replicas",
        "steps.levels(now_s - limits.rate_window_s)",
        "steps.levels(now_s - now_s % limits.rate_window_s)",
    ),
    Bug(
        "the hold window looks at this proposal only",
        "replicas",
        "peak=int(proposals.highest(now_s - limits.hold_s))",
        "peak=0",
    ),
    Bug(
        "a restart forgets all moves but the last",
        "history",
        "replicas={name: Steps(_points(p)) for name, p",
        "replicas={name: Steps(_points(p)[-1:]) for name, p",
    ),
    Bug(
        "a time with a dead sensor counts as watched",
        "history",
        "lit_s = min(self.recorded_s, trusted_s(senses, seen))",
        "lit_s = self.recorded_s",
    ),
    Bug(
        "a clock that went back is not noticed",
        *(
            "trust",
            "for seen_s in (history.time_s, state.time_s):",
            "for seen_s in (state.time_s,):",
        ),
    ),
    Bug(
        "replicas that are not ready yet get their share",
        "route",
        "backend.ready * replica_rps[backend.name]",
        "backend.wanted * replica_rps[backend.name]",
    ),
    Bug(
        "every tick starts a new step of the route",
        "route",
        "history.shares.get(backend.name, Band(share)).span(since_s, share)",
        "Band(share).span(since_s, share)",
    ),
    Bug(
        "every tick has the whole budget",
        *("ration", "limits.budget - math.fsum(paid)", "limits.budget"),
    ),
)


def real() -> Guard:
    """The guard itself."""
    return _loaded(PACKAGE)


def planted(bug: Bug) -> Guard:
    """A copy with ``bug``; ``ValueError`` when its text is not in the guard once."""
    copy = f"{PACKAGE}_in_which_{bug.name.replace(' ', '_')}"
    finder = _Copy(copy, bug)
    sys.meta_path.insert(0, finder)
    try:
        return _loaded(copy)
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.partition(".")[0] == copy]:
            del sys.modules[name]


def _loaded(package: str) -> Guard:
    return Guard(*(import_module(f"{package}.{module}") for module in Guard._fields))


def _source(module: str) -> str:
    return resources.files(PACKAGE).joinpath(f"{module}.py").read_text()


class _Copy(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports the guard under the name ``package``, with one text of it replaced."""

    def __init__(self, package: str, bug: Bug) -> None:
        self.package, self.bug = package, bug
        found = _source(bug.module).count(bug.right)
        if found != 1:
            raise ValueError(
                f"cannot plant {bug.name!r}: {bug.module}.py has {found} times {bug.right!r}, "
                "not once; say in copies.py how the same bug looks in today's guard"
            )

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Answers for the copy only."""
        if name.partition(".")[0] != self.package:
            return None
        return spec_from_loader(name, self, is_package=name == self.package)

    def exec_module(self, module: ModuleType) -> None:
        """Run the source of the guard's module of the same name."""
        of = module.__name__.partition(".")[2]
        if not of:
            return
        text = _source(of)
        if of == self.bug.module:
            text = text.replace(self.bug.right, self.bug.wrong)
        text = text.replace(f"from {PACKAGE}", f"from {self.package}")
        for shared in SHARED:
            text = text.replace(f"from {self.package}.{shared} ", f"from {PACKAGE}.{shared} ")
        exec(compile(text, of, "exec"), vars(module))  # noqa: S102  # our own source
