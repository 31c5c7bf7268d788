import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import grpc
import numpy as np
import pytest
from click.testing import CliRunner
from tests.controller.conftest import World
from tests.controller.evidence.simulated import (
    CONFIG,
    DAY_TICKS,
    START_S,
    configured,
    loaded,
    write_journal,
)

from trimtab_agents.bundle import load as load_bundle
from trimtab_agents.evidence.certificate import certify
from trimtab_agents.evidence.findings import Interval
from trimtab_controller.cli import main
from trimtab_controller.config import Config, GatesSpec
from trimtab_controller.evidence import messages, office
from trimtab_controller.evidence.appraisal import appraise, believed
from trimtab_controller.evidence.gates import gates, higher
from trimtab_controller.evidence.ladder import ladder
from trimtab_controller.evidence.office import Filed, Office
from trimtab_controller.evidence.page import page
from trimtab_controller.evidence.recorded import recorded
from trimtab_controller.evidence.scorecard import Account, Day, Scorecard, Verdict
from trimtab_controller.records import pack, unpack
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc
from trimtab_sim.profile import Profile
from trimtab_sim.schema import ConfigError

NOW_S = START_S + 6 * DAY_TICKS


def slower(config: Config, factor: float) -> Profile:
    """The service as it really is: slower than it is configured."""
    profile = config.services[0].profile
    (pool,) = profile.backends
    backend = replace(pool, service_time_s=factor * pool.service_time_s)
    return replace(profile, backends=(backend,))


def appraised(folder: Path, config: Config) -> Scorecard:
    return appraise(folder / "journal.db", config, config.services[0], load_bundle(), 28, NOW_S)


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Scorecard:
    """The scorecard of five days in shadow, and a little more."""
    folder = tmp_path_factory.mktemp("card")
    config = loaded(folder)
    write_journal(folder / "journal.db", config, 5.1)
    return appraised(folder, config)


def test_a_journal_becomes_arrays(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    write_journal(tmp_path / "journal.db", config, 2.5, acted_on=range(DAY_TICKS, DAY_TICKS + 3))
    found = recorded(tmp_path / "journal.db", config, config.services[0], 28)
    assert found is not None
    assert found.counted.tolist() == [True, False, False]
    assert found.acted.tolist() == [0, 3, 0]
    assert found.past.fresh[:, 0] == pytest.approx([1.0, 1.0, 0.5], abs=0.01)
    assert (found.past.billed >= found.past.ready).all()
    assert 200.0 < found.past.rate_rps[1:DAY_TICKS].mean() < 900.0
    late = recorded(tmp_path / "journal.db", config, config.services[0], 1)
    assert late is not None
    assert len(late.acted) == 2


def test_a_hole_in_the_metrics_is_held_and_does_not_count(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    blind = range(200, 500)
    write_journal(tmp_path / "journal.db", config, 1.0, blind=blind)
    found = recorded(tmp_path / "journal.db", config, config.services[0], 28)
    assert found is not None
    assert found.counted.tolist() == [False]
    hole = found.past.rate_rps[210:490]
    assert len(np.unique(hole)) == 1
    assert not found.past.known[210:490].any()


def test_a_clock_that_was_wrong_for_a_while_costs_no_memory(tmp_path: Path) -> None:
    config = loaded(tmp_path)
    journal = tmp_path / "journal.db"
    write_journal(journal, config, 0.1, ahead_s=1e9)
    write_journal(journal, config, 0.2)
    found = recorded(journal, config, config.services[0], 28)
    assert found is not None
    assert found.start_s == START_S
    assert len(found.past.known) == DAY_TICKS


def test_the_certificate_comes_first_and_then_what_would_have_been(card: Scorecard) -> None:
    assert card.days == 5
    assert card.no_verdict == ""
    assert len(card.certificate) == 5
    assert all(check.passed for check in card.certificate)
    verdict = card.verdict
    assert verdict is not None
    assert verdict.interventions < 0.25
    assert verdict.replayed.cost == pytest.approx(verdict.observed.cost, rel=0.03)
    for interval in (verdict.saving, verdict.saved, verdict.extra_misses):
        assert interval.low < interval.value < interval.high
    told = 1.0 - verdict.policy.cost / verdict.replayed.cost
    assert verdict.saving.value == pytest.approx(told, abs=0.02)
    assert [day.date for day in verdict.by_day] == [f"day {n}" for n in range(1, 6)]
    # Replicas of 0.05 EUR an hour, for the hours of a day in life.
    replicas = verdict.observed.cost / (24.0 * 0.05)
    assert 5.0 < replicas < 25.0


@pytest.mark.parametrize("factor", [1.3, 1.0 / 1.3])
def test_a_model_that_is_wrong_says_nothing_but_that(tmp_path: Path, factor: float) -> None:
    config = loaded(tmp_path)
    write_journal(tmp_path / "journal.db", config, 5.1, really=slower(config, factor))
    card = appraised(tmp_path, config)
    assert card.verdict is None
    assert "requests inside" in card.no_verdict
    assert "trimtab fit" in card.no_verdict
    shown = page(card, config.gates)
    assert "No verdict on web yet" in shown
    assert "would have cost" not in shown


def test_a_fitted_profile_is_what_the_evidence_goes_by(tmp_path: Path) -> None:
    fitted = (
        "name: web\nslo: {latency_s: 9, share: 0.5}\nbackends:\n" + CONFIG.split("backends:")[1]
    )
    fitted = fitted.replace("service_time_s: 0.05", "service_time_s: 0.065")
    (tmp_path / "fitted.yaml").write_text(fitted.replace("max_replicas: 60", "max_replicas: 9"))
    text = CONFIG.replace("    backends:", "    fitted: fitted.yaml\n    backends:")
    config = loaded(tmp_path, text)
    profile = believed(config.services[0])
    assert profile.backends[0].service_time_s == 0.065
    assert profile.backends[0].max_replicas == 60
    assert profile.slo_latency_s == 0.3
    write_journal(tmp_path / "journal.db", config, 1.1, really=slower(config, 1.3))
    found = recorded(tmp_path / "journal.db", config, config.services[0], 28)
    assert found is not None
    assert certify(found.past, [profile], 0).passed(found.pace.tick_s) == [True]


def test_a_profile_of_other_backends_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "fitted.yaml").write_text(
        "name: web\nslo: {latency_s: 9, share: 0.5}\nbackends:\n"
        + CONFIG.split("backends:")[1].replace("pods", "spot")
    )
    text = CONFIG.replace("    backends:", "    fitted: fitted.yaml\n    backends:")
    with pytest.raises(ConfigError, match="must have the backends of web, in their order: pods"):
        loaded(tmp_path, text)


@pytest.mark.parametrize(
    ("days", "says"),
    [
        pytest.param(0.2, "0 of at least 5 whole days of 12 minutes are recorded (2.4 m", id="new"),
        pytest.param(2.3, "2 of at least 5 whole days of 12 minutes are recorded", id="two days"),
    ],
)
def test_who_has_just_begun_is_told_when_to_come_again(
    tmp_path: Path, days: float, says: str
) -> None:
    config = loaded(tmp_path)
    write_journal(tmp_path / "journal.db", config, days)
    card = appraised(tmp_path, config)
    assert says in card.no_verdict
    assert "leave it in shadow, and ask again after 2015-" in card.no_verdict


GOOD = Verdict(
    policy_name="ppo",
    observed=Account(1e6, 0.01, 20.0, 2.0, 30.0),
    replayed=Account(1e6, 0.01, 20.0, 2.0, 30.0),
    policy=Account(1e6, 0.01, 15.0, 1.5, 30.0),
    saving=Interval(0.25, 0.2, 0.3),
    saved=Interval(5.0, 4.0, 6.0),
    extra_misses=Interval(0.0, -0.0005, 0.0005),
    interventions=0.1,
    by_day=(Day("2026-01-01", *[Account(1e6, 0.01, 20.0, 2.0, 30.0)] * 2),),
)
OPEN = Scorecard("web", 1.0, "EUR", 14, 0, 0.99, verdict=GOOD)


@pytest.mark.parametrize(
    ("changed", "shut"),
    [
        pytest.param({}, [], id="all open"),
        pytest.param({"days": 13}, ["days"], id="a day short"),
        pytest.param({"fresh_share": 0.94}, ["fresh data"], id="holes"),
        pytest.param(
            {"verdict": replace(GOOD, interventions=0.26)}, ["guard interventions"], id="guard"
        ),
        pytest.param(
            {"verdict": replace(GOOD, extra_misses=Interval(0.0, 0.0, 0.0011))},
            ["extra misses"],
            id="may miss more",
        ),
        pytest.param(
            {"verdict": replace(GOOD, saving=Interval(0.1, -0.001, 0.2))}, ["saving"], id="may cost"
        ),
        pytest.param(
            {"verdict": None, "no_verdict": "why"},
            ["A/A certificate", "extra misses", "saving", "guard interventions"],
            id="no certificate",
        ),
    ],
)
def test_each_gate_has_its_edge(changed: dict[str, object], shut: list[str]) -> None:
    found = gates(replace(OPEN, **changed), GatesSpec())  # type: ignore[arg-type]  # a table
    assert [gate.name for gate in found if not gate.met] == shut
    assert all(bool(gate.missing) != gate.met for gate in found)


def test_the_ladder_begins_with_the_most_to_gain_for_what_is_at_stake(tmp_path: Path) -> None:
    (service,) = loaded(tmp_path).services
    busy = replace(GOOD, observed=replace(GOOD.observed, requests=1e8))
    cards = [
        replace(OPEN, service="new", days=0, verdict=None, no_verdict="too early"),
        replace(OPEN, service="crowded", verdict=busy),
        replace(OPEN, service="quiet"),
        replace(OPEN, service="young", days=3),
    ]
    rungs = ladder([(service, Mode.SHADOW, card) for card in cards], GatesSpec())
    assert [rung.service for rung in rungs] == ["quiet", "crowded", "young", "new"]
    assert [bool(rung.recommendation) for rung in rungs] == [True, True, False, False]
    assert rungs[0].recommendation.endswith("`trimtab mode quiet approve`")
    assert rungs[3].reason == "too early"


@pytest.mark.parametrize(
    ("mode", "ceiling", "above"),
    [
        (Mode.SHADOW, Mode.GUARDED, Mode.APPROVE),
        (Mode.ASSIST, Mode.GUARDED, Mode.GUARDED),
        (Mode.GUARDED, Mode.GUARDED, None),
        (Mode.APPROVE, Mode.APPROVE, None),
        (Mode.GUARDED, Mode.SHADOW, None),
    ],
)
def test_nothing_above_the_ceiling_is_recommended(
    mode: Mode, ceiling: Mode, above: Mode | None
) -> None:
    assert higher(mode, ceiling) is above


class Convinced(Office):
    """Has the best of evidence for everybody."""

    def filed(self, service: str) -> Filed:
        return Filed(replace(OPEN, service=service), computing=False)


def test_open_gates_recommend_and_promote_nobody(
    new_world: Callable[[Mode], World], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tests.controller.conftest.Office", Convinced)
    world, address = new_world(Mode.SHADOW), f"unix:{tmp_path}/api.sock"
    before = len(list(world.journal.entries()))
    with closing(world.serve(address)), grpc.insecure_channel(address) as channel:
        stub = controller_pb2_grpc.ControllerStub(channel)
        (rung,) = stub.GetLadder(pb.GetLadderRequest()).rungs
        assert stub.GetScorecard(pb.GetScorecardRequest(service="web")).saving.low == 0.2
    assert rung.recommendation == (
        "the evidence allows approve; if you agree: `trimtab mode web approve`"
    )
    assert rung.mode == pb.MODE_SHADOW
    assert world.mandate.mode("web", world.clock()) is Mode.SHADOW
    assert len(list(world.journal.entries())) == before


def test_a_scorecard_comes_whole_out_of_a_process_and_over_the_wire(card: Scorecard) -> None:
    again = unpack(Scorecard, json.loads(json.dumps(pack(card))))
    assert again == card
    message = messages.scorecard(Filed(card, True))
    assert card.verdict is not None
    assert message.saving.low == card.verdict.saving.low
    assert len(message.by_day) == card.days
    assert message.computing


@pytest.fixture
def begun(tmp_path: Path) -> Iterator[Office]:
    """The office of a daemon that has run for a minute."""
    write_journal(tmp_path / "journal.db", loaded(tmp_path), 0.2)
    opened = Office(tmp_path / "trimtab.yaml", tmp_path / "journal.db", time.time)
    yield opened
    opened.close()


def test_the_daemon_s_scorecards_are_worked_out_beside_it(begun: Office) -> None:
    first = begun.filed("web")
    assert first.computing
    assert first.card.made_s == 0.0
    assert "is being worked out" in first.card.no_verdict
    while begun.filed("web").computing:
        time.sleep(0.1)
    assert "leave it in shadow" in begun.filed("web").card.no_verdict


def test_work_that_cannot_be_done_is_told_and_tried_again(
    begun: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    while begun.filed("nobody").computing:
        time.sleep(0.1)
    assert "could not be worked out" in begun.filed("nobody").card.no_verdict
    monkeypatch.setattr(office, "AGAIN_S", 0.0)
    assert begun.filed("nobody").computing


def test_a_daemon_that_ends_leaves_no_work_behind(begun: Office) -> None:
    begun.filed("web")
    begun.close()
    assert not begun.filed("web").computing


def test_the_page_escapes_what_it_is_told(card: Scorecard) -> None:
    shown = page(replace(card, currency="<b>EUR"), GatesSpec())
    assert "<b>EUR" not in shown
    assert "&lt;b&gt;EUR" in shown
    assert "http" not in shown.replace("http-equiv", "")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, arguments)
    return result.exit_code, result.output


def test_report_and_ladder_from_the_command_line(tmp_path: Path) -> None:
    config = configured(tmp_path)
    write_journal(tmp_path / "journal.db", loaded(tmp_path), 0.2)
    of = "--config", str(config), "--journal", str(tmp_path / "journal.db")
    html, data = str(tmp_path / "web.html"), str(tmp_path / "web.json")
    code, told = run("report", "web", *of, "--html", html, "--json", data)
    assert code == 0
    assert "web: no verdict: 0 of at least 5 whole days" in told
    assert "No verdict on web yet" in Path(html).read_text()
    assert json.loads(Path(data).read_text())["days"] == 0
    code, told = run("ladder", *of)
    assert code == 0
    assert told.startswith("1. web (shadow): 0 of at least 5")
    assert "shut  days: 0 (at least 14); leave it in shadow for 14 more whole days" in told


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", "api"], "'api': the configuration has web"),
        (["report", "web", "--journal", "none.db"], "none.db: there is no journal"),
        (["ladder", "--journal", "none.db"], "none.db: there is no journal"),
    ],
)
def test_what_is_asked_wrongly_says_what_to_do(
    tmp_path: Path, arguments: list[str], says: str
) -> None:
    code, told = run(*arguments, "--config", str(configured(tmp_path)))
    assert code != 0
    assert says in told
