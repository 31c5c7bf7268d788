"""The search, against a daemon whose variants do as is known: what it finds, and how it ends."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from trimtab_agents.search import Search, Tried
from trimtab_controller.experimenter.hunt import EndedError, Hunt
from trimtab_controller.experimenter.report import report
from trimtab_controller.experimenter.score import chosen
from trimtab_controller.experimenter.spec import ExperimentSpec, load, space
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_sim.schema import ConfigError

EXAMPLE = Path(__file__).parents[3] / "examples/experiments/web.yaml"
SPEC = replace(load(EXAMPLE), trials=9)


class Full(grpc.RpcError):
    """What a stub raises while there is no room."""

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.RESOURCE_EXHAUSTED

    def details(self) -> str:
        return "on-demand wants 12 replicas itself"


@dataclass
class Daemon:
    """Measures at once. ``begins`` and ``ends`` make something else of a round."""

    now: pb.Round = field(default_factory=pb.Round)
    polls: int = 0
    most_replicas: int = 0
    full: int = 0
    got_rps: float = 60.0
    told: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    begins: Callable[[pb.Round], None] = lambda _: None
    ends: Callable[[pb.Round], None] = lambda _: None

    def StartRound(self, request: Any, timeout: float) -> pb.Round:  # noqa: N802  # gRPC's name
        assert timeout > 0
        assert request.safe_to_mirror
        if self.full:
            self.full -= 1
            raise Full
        self.polls, self.lost = 0, set()
        self.most_replicas = max(self.most_replicas, sum(v.replicas for v in request.variants))
        self.now = pb.Round(
            service="web",
            number=self.now.number + 1,
            variants=request.variants,
            results=[pb.VariantResult(name="live"), *map(self.result, request.variants)],
        )
        self.begins(self.now)
        begun = _copy(self.now)
        begun.ClearField("results")
        return begun

    def ListRounds(self, _request: Any, timeout: float) -> pb.ListRoundsReply:  # noqa: N802
        assert timeout > 0
        self.polls += 1
        if self.polls > 1:
            self.now.over, self.now.why = True, "measured"
            for result in self.now.results:
                if result.name not in self.lost:
                    result.step = "measured"
            self.ends(self.now)
        return pb.ListRoundsReply(rounds=[_copy(self.now)])

    def EndRound(self, request: Any, timeout: float) -> pb.Round:  # noqa: N802
        assert timeout > 0
        self.lost |= set(request.variants)
        self.ended.append(request.why)
        return _copy(self.now)

    def result(self, variant: pb.Variant) -> pb.VariantResult:
        """Of 500, as on the stage: 8 threads are enough for one replica, 16 in a batch too many."""
        settings = variant.settings
        misses = {1: 400, 2: 300, 4: 25}.get(settings["threads"] * variant.replicas, 5)
        misses += 40 * (settings["batch"] > 4) + 20 * (settings["queue"] < 50)
        misses -= 3 * (settings["cache"] >= 1000)
        return pb.VariantResult(
            name=variant.name,
            step="measuring",
            requests=500,
            misses=misses,
            seconds=500 / self.got_rps,
            fleet=3.33 * variant.replicas,
        )


def _copy(round_: pb.Round) -> pb.Round:
    copy = pb.Round()
    copy.CopyFrom(round_)
    return copy


@dataclass
class Bed:
    """A search with its daemon; ``again`` is the same FILE once more, in another process."""

    file: Path
    spec: ExperimentSpec = SPEC
    daemon: Daemon = field(default_factory=Daemon)
    time_s: float = 0.0

    def hunt(self) -> Hunt:
        location = str(self.file)
        search = Search.open(space(self.spec), self.spec.name, location, first=[dict(SPEC.now)])
        stub: Any = self.daemon
        tell = self.daemon.told.append
        return Hunt(self.spec, search, stub, "ann", tell, lambda: self.time_s, self.wait)

    def wait(self, seconds: float) -> None:
        self.time_s += seconds


@pytest.fixture
def bed(tmp_path: Path) -> Bed:
    return Bed(tmp_path / "web.db")


def test_it_finds_what_is_best_within_its_limits(bed: Bed) -> None:
    bed.spec = replace(SPEC, trials=24)
    hunt = bed.hunt()
    why = hunt.run()
    best = hunt.search.best
    assert best
    choice = chosen(best)
    assert choice["replicas"] == 1
    assert choice["threads"] >= 8
    assert choice["batch"] < 16
    assert bed.daemon.most_replicas <= SPEC.limits.replicas
    assert len(hunt.search.tried) <= 24
    assert "trials were asked for" in why or "expected to save" in why
    lines = list(report(SPEC, hunt.search, ["spot"]))
    assert "as it is now" in "\n".join(lines)
    assert lines[-1] == "  trimtab canary start web --old on-demand --new spot"
    assert f"--set threads={choice['threads']:g}" in lines[-2]
    assert "replicas" not in lines[-2]


def test_what_is_losing_ends_early_and_is_no_winner(bed: Bed) -> None:
    hunt = bed.hunt()
    hunt.run()
    assert hunt.search.best
    stopped = [tried for tried in hunt.search.tried if tried.stopped]
    assert stopped
    assert min(tried.score for tried in stopped) > hunt.search.best.score
    assert bed.daemon.ended == ["it is losing"] * len(stopped)


def test_what_crashes_has_failed_and_keeps_nobody_waiting(bed: Bed) -> None:
    def crash(over: pb.Round) -> None:
        over.results[1].crashed = 1

    bed.daemon.begins = crash
    hunt = bed.hunt()
    hunt.run()
    assert hunt.search.tried[0] == Tried(dict(SPEC.now), math.inf, stopped=True)
    assert hunt.search.best


def test_an_interrupted_search_goes_on(bed: Bed) -> None:
    def interrupt(over: pb.Round) -> None:
        if over.number == 3:
            raise KeyboardInterrupt

    bed.daemon.ends = interrupt
    hunt = bed.hunt()
    with pytest.raises(KeyboardInterrupt):
        hunt.run()
    assert bed.daemon.ended[-1] == "the search was interrupted"
    known = [tried.choice for tried in hunt.search.tried]
    assert len(known) >= 4
    bed.daemon.ends = lambda _: None
    again = bed.hunt()
    again.run()
    tried = [tried.choice for tried in again.search.tried]
    assert tried[: len(known)] == known
    assert all(tried.count(choice) == 1 for choice in tried)


def test_it_waits_for_room_but_not_for_ever(bed: Bed) -> None:
    bed.daemon.full = 3
    bed.daemon.ends = lambda over: setattr(over, "again", over.number == 2)
    hunt = bed.hunt()
    hunt.run()
    assert any("wants 12 replicas itself" in line for line in bed.daemon.told)
    assert [dict(SPEC.now)] == [tried.choice for tried in hunt.search.tried[:1]]
    bed.daemon.full = 10**6
    bed.spec = replace(SPEC, name="another")
    assert "minutes are over" in bed.hunt().run()


@pytest.mark.parametrize(
    ("ends", "says"),
    [
        pytest.param(
            lambda over: over.results[1].ClearField("step"), "measured", id="one was not measured"
        ),
        pytest.param(
            lambda over: setattr(over, "number", 99), "another round of web", id="somebody else"
        ),
    ],
)
def test_what_was_not_measured_is_not_believed(
    bed: Bed, ends: Callable[[pb.Round], None], says: str
) -> None:
    bed.daemon.ends = ends
    hunt = bed.hunt()
    with pytest.raises(EndedError, match=says):
        hunt.run()
    assert dict(SPEC.now) not in [tried.choice for tried in hunt.search.tried]
    assert not bed.daemon.ended  # least of all the round of somebody else


def test_too_little_traffic_is_another_load(bed: Bed) -> None:
    bed.daemon.got_rps = 40.0
    with pytest.raises(EndedError, match="40 copies a second, not rate_rps, 60"):
        bed.hunt().run()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        pytest.param({}, "nothing that was tried is better", id="nothing"),
        pytest.param({"replicas": 2}, "better than now is 2 replicas, set as they are", id="more"),
        pytest.param({"batch": 4}, "trimtab canary start web --old on-demand", id="a setting"),
    ],
)
def test_the_report_says_what_to_do(bed: Bed, changes: dict[str, float], says: str) -> None:
    best = {**SPEC.now, **changes}
    search = Search.open(space(SPEC), "report", str(bed.file), first=[best])
    search.tell(search.ask(), 1.0)
    assert says in list(report(SPEC, search, ["spot"]))[-1]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        pytest.param("safeToMirror: true", "", "carried out a second time", id="not said"),
        pytest.param("safeToMirror: true", "safeToMirror: false", "safeToMirror", id="not safe"),
        pytest.param("rate_rps: 60", "rate_rps: 0", "rate_rps: 0 must be more than 0", id="rate"),
        pytest.param("{threads: 4,", "{threads: 5,", "now.threads: must be what is set", id="now"),
        pytest.param("{threads: 4,", "{", "now.threads: must be what is set", id="no now"),
        pytest.param("[1, 4, 16]", "[1, 4, 4]", "batch: a value is listed twice", id="twice"),
        pytest.param("batch:", "replicas:", "write `replicas: […]` beside", id="replicas"),
        pytest.param("{cache: 0.0001}", "{ram: 1}", "prices.ram: must be one of", id="price"),
        pytest.param("replicas: 4, share", "replicas: 1, share", "limits.replicas, 1", id="limit"),
        pytest.param("trials:", "tries:", "did you mean 'trials'?", id="a typo"),
        pytest.param("[1, 2, 4, 8, 16, 32]", "few", "settings.threads: must be a list", id="list"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    file, text = tmp_path / "e.yaml", EXAMPLE.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError) as error:
        load(file)
    assert says in str(error.value)
