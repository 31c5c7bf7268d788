"""Changes the guard in every small way, and asks whether its quick tests notice: ``make mutate``.

Every mutant runs in a fork, so that pytest and the tests are imported once. One of a function's
body gets that function's code swapped after the tests were collected, and only the tests that run
the function, quickest first; one of a definition is imported afresh. A mutant that no test notices
must be listed in ``equivalent_mutants.txt`` with the reason why it changes nothing.

Why not mutmut or cosmic-ray: mutmut 3 changes nothing outside of functions, where the guard has
its tables and limits; cosmic-ray rewrites the source on the disk and starts a test process per
mutant.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import re
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import reduce
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import coverage
import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings
from mutants import Mutant, mutants

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "trimtab_guard"
GUARD = ROOT / "controller" / PACKAGE
TESTS = ROOT / "tests" / "guard"
LISTED = TESTS / "equivalent_mutants.txt"
TOO_SLOW = (
    "test_guard_bench.py",
    "test_machine.py",
    "test_properties.py",
    "test_history.py::test_a_long_life_stays_small",
)
"""Long lives: they would find much, slowly; what they find should have a table."""
QUIET = ["-x", "-p", "no:cacheprovider", "-p", "no:terminal", "-p", "no:faulthandler"]
QUIET += [f"--deselect=tests/guard/{test}" for test in TOO_SLOW]
LIMIT_CPU_S = 60
"""A mutant that needs longer runs in a circle, which is noticed."""


class Swaps:
    """A pytest plugin that runs the collected tests once as they are, then once per mutant."""

    def __init__(self, of_functions: Sequence[Mutant]) -> None:
        self.mutants = of_functions
        self.survivors: list[Mutant] = []
        self.failed = "collecting"

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """In the place of pytest's own loop."""
        items, self.failed = list(session.items), ""
        runs = self._traced(items)
        for mutant in self.mutants:
            lines = runs.contexts_by_lineno(str(GUARD / f"{mutant.module}.py"))
            names = {name for line in mutant.lines for name in lines.get(line, ())}
            chosen = [item for item in items if item.nodeid in names]
            killer = _first_noticed(mutant, chosen)
            if killer is None:
                self.survivors.append(mutant)
                print(
                    f"not noticed by {len(chosen)} tests: {mutant.name}",
                    file=sys.__stderr__,
                    flush=True,
                )
            else:  # what noticed this one is likely to notice the next
                items.insert(0, items.pop(items.index(chosen[killer])))
        return True

    def _traced(self, items: list[pytest.Item]) -> coverage.CoverageData:
        """Which tests run which lines; ``items`` in the order of how long they took."""
        tracer = coverage.Coverage(data_file=None, branch=False, include=[str(GUARD / "*")])
        tracer.start()
        cpu_s = {}
        for item in items:
            tracer.switch_context(item.nodeid)
            before_s = _cpu_s()
            if not _passes(item):
                self.failed = item.nodeid
                raise pytest.UsageError(item.nodeid)
            cpu_s[item] = _cpu_s() - before_s
        tracer.stop()
        items.sort(key=cpu_s.__getitem__)
        return tracer.get_data()


def _first_noticed(mutant: Mutant, items: list[pytest.Item]) -> int | None:
    """Index of the first test that fails on it; the first of all when it never ends."""

    def tests() -> int:
        _swap(mutant)
        return next((n for n, item in enumerate(items, 1) if not _passes(item)), 0)

    return _forked_number(tests, len(items))


def _forked_number(tests: Callable[[], int], most: int) -> int | None:
    """What ``tests`` return in a fork, less one; none for 0. A fork has 8 bits to answer with."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        answer = 1
        try:
            resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_CPU_S, LIMIT_CPU_S))
            answer = tests()
        finally:
            os.write(write, str(answer).encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return min(int(answer or 1), most) - 1 if answer != "0" else None


def _passes(item: pytest.Item) -> bool:
    return all(report.passed for report in runtestprotocol(item, nextitem=None, log=False))


def _swap(mutant: Mutant) -> None:
    """Give a function that is in use already the code that it has in the mutant."""
    whole = compile(mutant.source, mutant.module, "exec")
    module = sys.modules[f"{PACKAGE}.{mutant.module}"]
    function: Any = reduce(_member, mutant.function.split("."), module)
    function.__code__ = next(c for c in _codes(whole) if c.co_qualname == mutant.function)


def _member(owner: object, name: str) -> object:
    found = vars(owner)[name]
    if isinstance(found, FunctionType | ModuleType | type):
        return found
    return getattr(found, "__func__", None) or found.fget


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


class Imports(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module as the mutant has it."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Answers for the mutant's module only."""
        if name != f"{PACKAGE}.{self.mutant.module}":
            return None
        return importlib.util.spec_from_loader(name, self)

    def exec_module(self, module: ModuleType) -> None:
        """Run the mutant as the module."""
        exec(compile(self.mutant.source, self.mutant.module, "exec"), vars(module))  # noqa: S102


def _survives_import(mutant: Mutant, files: list[Path]) -> bool:
    """File by file, the one that noticed the last mutant first."""

    def tests() -> int:
        sys.meta_path.insert(0, Imports(mutant))
        return next((n for n, path in enumerate(files, 1) if _pytest([*QUIET, str(path)])), 0)

    killer = _forked_number(tests, len(files))
    if killer is None:
        print(f"not noticed by any test: {mutant.name}", file=sys.stderr, flush=True)
        return True
    files.insert(0, files.pop(killer))
    return False


def _pytest(arguments: list[str], *plugins: object) -> int:
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return pytest.main(arguments, list(plugins))


def _cpu_s() -> float:
    users = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(resource.getrusage(who).ru_utime for who in users)


def listed() -> dict[str, str]:
    """Mutant -> reason: a line for each mutant, and indented below it why it changes nothing."""
    reasons: dict[str, str] = {}
    name = ""
    for line in LISTED.read_text().splitlines():
        if line.startswith(" ") and name:
            reasons[name] = f"{reasons[name]} {line.strip()}".strip()
        elif line.strip() and not line.startswith("#"):
            name = line.strip()
            reasons[name] = ""
    return reasons


def main() -> None:
    """Mutate the modules named as arguments, or all; exits with 1 when the list is not right."""
    modules = sys.argv[1:] or sorted(p.stem for p in GUARD.glob("*.py") if p.stem != "__init__")
    made = [m for name in modules for m in mutants(name, (GUARD / f"{name}.py").read_text())]
    files = [path for path in TESTS.glob("test_*.py") if path.name not in TOO_SLOW]
    files.sort(key=lambda path: path.stat().st_size)
    os.chdir(ROOT)
    settings.register_profile(
        "mutate",
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
    )
    settings.load_profile("mutate")
    survivors = [m for m in made if not m.function and _survives_import(m, files)]
    swaps = Swaps([m for m in made if m.function])
    _pytest([*QUIET, *map(str, files)], swaps)
    if swaps.failed:
        raise SystemExit(f"without any mutant, this fails: {swaps.failed}")
    survivors += swaps.survivors
    report(modules, made, survivors)


def report(modules: list[str], made: list[Mutant], survivors: list[Mutant]) -> None:
    """Print what was noticed, and compare what was not with the list."""
    alive = {mutant.name for mutant in survivors}
    for module in modules:
        mine = {mutant.name for mutant in made if mutant.module == module}
        print(f"{module:12} {len(mine):5} mutants, {len(alive & mine)} not noticed")
    print(f"{'all':12} {len(made):5} mutants, {len(alive)} not noticed, {_cpu_s():.0f} s of CPU")
    expected = {name: why for name, why in listed().items() if re.split("[.:]", name)[0] in modules}
    wrong = [f"not noticed, not listed: {m.name}" for m in survivors if m.name not in expected]
    wrong += [f"listed, but noticed: {name}" for name in expected if name not in alive]
    wrong += [f"listed without a reason: {name}" for name, why in expected.items() if not why]
    if wrong:
        raise SystemExit("\n".join(wrong))


if __name__ == "__main__":
    main()
