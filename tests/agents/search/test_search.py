"""Few trials find what is good, go on after a kill, and end when more are not worth it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from math import inf
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_agents.search import Choice, Dial, Search, SearchError, Space, SpaceError, Trying
from trimtab_agents.search.belief import believed
from trimtab_agents.search.search import LEAST, LOSING

SERVER = Space(
    {
        "threads": Dial((1, 2, 4, 8, 16)),
        "cache_mb": Dial((16, 64, 256, 1024)),
        "engine": Dial(("a", "b", "c"), ordered=False),
        "batch": Dial(tuple(range(1, 9))),
    }
)
WORST: Choice = {"threads": 1, "cache_mb": 16, "engine": "b", "batch": 8}


def cost(choice: Choice) -> float:
    """Threads want memory, batches have an optimum: no dial can be set without the others."""
    threads, cache = np.log2(float(choice["threads"])), np.log2(float(choice["cache_mb"]))
    fit = 1.0 + abs(cache - 4.0 - 1.5 * threads) / 8.0 + abs(threads - 3.0) / 4.0
    kind = {"a": 1.2, "b": 2.0, "c": 1.0}[str(choice["engine"])]
    return float(fit * kind * (1.0 + abs(float(choice["batch"]) - 5.0) / 10.0))


def searched(
    search: Search, trials: int, measure: Callable[[Choice], float] = cost
) -> list[dict[str, object]]:
    """What was asked for until the search was done."""
    asked = []
    while not search.done(trials):
        trying = search.ask()
        asked.append(dict(trying.choice))
        search.tell(trying, measure(trying.choice))
    return asked


def every(space: Space) -> list[dict[str, object]]:
    names = list(space.dials)
    values = product(*(dial.values for dial in space.dials.values()))
    return [dict(zip(names, each, strict=True)) for each in values]


def test_a_twentieth_of_the_choices_finds_what_is_near_the_best(tmp_path: Path) -> None:
    scores = sorted(cost(choice) for choice in every(SERVER))
    trials = SERVER.size // 20
    found, drawn = [], []
    for seed in range(5):
        search = Search.open(SERVER, f"{seed}", str(tmp_path / "s.db"), seed=seed, first=[WORST])
        searched(search, trials)
        assert search.best is not None
        found.append(search.best.score / scores[0] - 1.0)
        drawn.append(min(np.random.default_rng(seed).choice(scores, trials, replace=False)))
    assert median(found) <= 0.05 < median(drawn) / scores[0] - 1.0


SMALL = Space({"a": Dial((1, 2, 3)), "b": Dial(("x", "y"), ordered=False)})


@settings(max_examples=20)
@given(
    scores=st.lists(st.one_of(st.floats(1e-9, 1e9), st.just(inf)), min_size=6, max_size=6),
    seed=st.integers(0, 99),
)
def test_whatever_the_scores_each_choice_is_tried_once_and_the_best_is_found(
    scores: list[float], seed: int
) -> None:
    table = {
        tuple(choice.values()): score for choice, score in zip(every(SMALL), scores, strict=True)
    }
    search = Search.open(SMALL, "small", ":memory:", seed=seed)
    asked = searched(search, 100, lambda choice: table[tuple(choice.values())])
    assert sorted(tuple(choice.values()) for choice in asked) == sorted(table)
    assert (search.left, search.done(100)) == (0, "every choice was tried")
    assert (search.best.score if search.best else inf) == min(scores)
    with pytest.raises(SearchError, match="every choice was tried"):
        search.ask()


@settings(max_examples=20)
@given(
    places=st.lists(
        st.tuples(*(st.integers(0, len(dial.values) - 1) for dial in SERVER.dials.values())),
        min_size=2, max_size=20, unique=True,
    ),
    data=st.data(),
)  # fmt: skip
def test_a_belief_saves_no_less_than_nothing_and_no_more_than_all(
    places: list[tuple[int, ...]], data: st.DataObject
) -> None:
    count = len(places)
    positive = st.floats(1e-6, 1e6)
    scores = np.array(data.draw(st.lists(positive, min_size=count, max_size=count)))
    others = np.array(SERVER.candidates(set(places), places[0], np.random.default_rng(0)), float)
    belief = believed(SERVER, np.array(places, float), scores, others, np.random.default_rng(0))
    saving = belief.saving(float(scores.min()))
    assert saving.shape == (len(others),)
    assert ((saving >= -1e-9) & (saving <= 1.0)).all()


def test_of_too_many_choices_to_weigh_all_it_still_finds_good_ones(tmp_path: Path) -> None:
    wide = Space({f"d{n}": Dial(tuple(range(10))) for n in range(8)})
    search = Search.open(wide, "wide", str(tmp_path / "s.db"))
    searched(search, 16, lambda choice: 1.0 + sum((float(v) - 7.0) ** 2 for v in choice.values()))
    assert search.left == wide.size - 16
    at_random = 1.0 + 8 * np.mean([(v - 7.0) ** 2 for v in range(10)])
    assert search.best is not None
    assert search.best.score < at_random / 2.0


def test_what_does_not_matter_is_left_after_the_least_trials(tmp_path: Path) -> None:
    search = Search.open(SERVER, "flat", str(tmp_path / "s.db"))
    asked = searched(search, 100, lambda _: 3.0)
    assert len(asked) == LEAST
    assert "one more trial is expected to save 0.00%" in search.done(100)


def test_what_fails_is_told_and_not_the_best(tmp_path: Path) -> None:
    search = Search.open(SERVER, "fails", str(tmp_path / "s.db"), first=[WORST])
    trials = 30
    asked = searched(search, trials, lambda c: inf if c["engine"] != "c" else cost(c))
    assert search.best is not None
    assert search.best.choice["engine"] == "c"
    late = [choice["engine"] for choice in asked[len(asked) // 2 :]]
    assert late.count("c") > len(late) / 2, "what failed is not tried on and on"


def killed(location: str) -> None:
    """Die while the eighth trial is being measured."""
    search = Search.open(SERVER, "web", location, seed=3, first=[WORST])
    for _ in range(7):
        trying = search.ask()
        search.tell(trying, cost(trying.choice))
    search.ask()
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_search_that_was_killed_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    process = get_context("spawn").Process(target=killed, args=(str(tmp_path / "s.db"),))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    search = Search.open(SERVER, "web", str(tmp_path / "s.db"), seed=3, first=[WORST])
    assert len(search.tried) == 7
    rest = searched(search, 11)
    whole = Search.open(SERVER, "web", str(tmp_path / "other.db"), seed=3, first=[WORST])
    assert searched(whole, 11)[7:] == rest


def test_several_may_search_together(shared_location: str) -> None:
    one, other = (Search.open(SERVER, "web", shared_location, first=[WORST]) for _ in range(2))
    asked = [search.ask() for search in (one, other) * 4]
    assert len({tuple(trying.choice.values()) for trying in asked}) == 8
    for trying, search in zip(asked, (one, other) * 4, strict=True):
        search.tell(trying, cost(trying.choice))
    assert one.tried == other.tried
    assert one.left == SERVER.size - 8


def test_it_goes_on_wherever_it_is_kept(location: str) -> None:
    first = Search.open(SERVER, "web", location, first=[WORST])
    asked = searched(first, 3)
    assert asked[0] == WORST
    again = Search.open(SERVER, "web", location, first=[WORST])
    assert [dict(tried.choice) for tried in again.tried] == asked
    assert again.best == first.best


def trying(search: Search, score: float) -> Trying:
    """One that was measured, then another."""
    search.tell(search.ask(), score)
    return search.ask()


@pytest.mark.parametrize(
    ("so_far", "losing"),
    [
        pytest.param(LOSING * 2.0 + 0.01, True, id="far-behind"),
        pytest.param(LOSING * 2.0 - 0.01, False, id="behind"),
        pytest.param(1.0, False, id="ahead"),
    ],
)
def test_losers_are_stopped(so_far: float, losing: bool, tmp_path: Path) -> None:
    search = Search.open(SERVER, "web", str(tmp_path / "s.db"))
    second = trying(search, 2.0)
    assert second.losing(0, so_far) is losing
    search.tell(second, so_far / 10.0, stopped=True)
    assert [tried.stopped for tried in search.tried] == [False, True]
    assert search.best == search.tried[0], "an estimate is never the best"


def other_space(path: Path) -> None:
    Search.open(SMALL, "web", str(path))


def no_database(path: Path) -> None:
    path.write_text("not a database, but a text of some length\n" * 99)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(other_space, "'web': of other choices", id="other-space"),
        pytest.param(no_database, "cannot keep a study", id="no-database"),
    ],
)
def test_a_study_of_something_else_is_refused(
    spoil: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "s.db"
    spoil(path)
    with pytest.raises(SearchError, match=message):
        Search.open(SERVER, "web", str(path))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        pytest.param({"engine": "d"}, "engine cannot be d: give one of a, b, c", id="value"),
        pytest.param({"speed": 1}, "not threads, cache_mb, engine, batch, speed", id="dial"),
    ],
)
def test_a_first_choice_that_cannot_be_is_refused(
    wrong: Choice, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpaceError, match=message):
        Search.open(SERVER, "web", str(tmp_path / "s.db"), first=[{**WORST, **wrong}])


@pytest.mark.parametrize("values", [(), (1, 1)], ids=["none", "twice"])
def test_a_dial_has_settings_that_differ(values: tuple[int, ...]) -> None:
    with pytest.raises(SpaceError, match="settings that differ"):
        Dial(values)


@pytest.mark.parametrize("score", [0.0, -1.0, float("nan")])
def test_scores_are_positive(score: float, tmp_path: Path) -> None:
    search = Search.open(SERVER, "web", str(tmp_path / "s.db"))
    with pytest.raises(SearchError, match="must be positive"):
        search.tell(search.ask(), score)


def test_it_needs_no_torch() -> None:
    code = "import sys, trimtab_agents.search; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
