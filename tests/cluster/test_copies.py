"""Variants on a cluster: made, copied to, and taken away in that order, whoever finds them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.cluster.client import Object
from tests.cluster.fake.faults import WRITES, Refusal
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import autoscaler, custom, deployment, route
from tests.cluster.test_stage import US, YAML

from trimtab_controller.config import load
from trimtab_controller.journal import Journal
from trimtab_controller.protocols import StageError, StageRefusedError
from trimtab_controller.stages import start
from trimtab_controller.variants.mirror import Mirror, Running, Wanted
from trimtab_controller.variants.plan import Plan, Setting, Variant
from trimtab_controller.variants.rounds import Rounds
from trimtab_guard.authority import Epoch

FOREIGN = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x-debug"]}}
FEW = Variant("few", 1, (Setting("env.THREADS", 2.0), Setting("memory_mib", 256.0)))
MANY = Variant("many", 2, (Setting("--threads", 8.0), Setting("cpu", 0.5)))
BOTH = {"r5-0": FEW, "r5-1": MANY}
NAMES = ["web-a-trimtab-r5-0", "web-a-trimtab-r5-1"]
LATER = Epoch(US.number + 1, "trimtab elsewhere")


def wanted(variants: dict[str, Variant], share: float = 0.0, epoch: Epoch = US) -> Wanted:
    return Wanted("a", variants, share, epoch)


@pytest.fixture
def stage(fake: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig))
    settle(fake)
    with ExitStack() as parts:
        yield begin(fake, tmp_path, parts)


def settle(fake: Cluster) -> None:
    for name in ("web-a", "web-b"):
        target = deployment(name, 2)
        target["spec"]["template"]["metadata"]["labels"]["tier"] = "front"
        (container,) = target["spec"]["template"]["spec"]["containers"]
        container |= {"args": ["serve", "--threads", "4", "--log=info"]}
        container |= {"env": [{"name": "THREADS", "value": "4"}, {"name": "MODE", "value": "fast"}]}
        fake.client.create(target)
        fake.client.create(autoscaler(name, 2))
    port = {"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}
    live = {"selector": {"app": "web-a"}, "ports": [port], "type": "NodePort"}
    fake.client.create(custom("v1", "Service", "web-a", live))
    home = route("web", {"web-a": 1, "web-spot": 3})
    home["spec"]["rules"][0]["filters"] = [FOREIGN]
    home["spec"]["rules"].append({"backendRefs": [{"name": "other", "port": 80}]})
    fake.client.create(home)


def begin(fake: Cluster, folder: Path, parts: ExitStack) -> Mirror:
    file = folder / "trimtab.yaml"
    file.write_text(YAML.format(namespace=fake.namespace))
    stage = start.start(load(file), None, parts)["web"]
    assert isinstance(stage, Mirror)
    return stage


def filters(fake: Cluster) -> list[Object]:
    (first, second) = fake.client.get("HTTPRoute", "web")["spec"]["rules"]
    assert "filters" not in second
    return list(first["filters"])


def copied(fake: Cluster) -> dict[str, float]:
    """The share by Service, of every filter that copies."""
    found = [each.get("requestMirror", {}) for each in filters(fake)]
    return {
        each["backendRef"]["name"]: each["fraction"]["numerator"] / each["fraction"]["denominator"]
        for each in found
        if "fraction" in each
    }


def made(fake: Cluster, kind: str) -> list[str]:
    names = (each["metadata"]["name"] for each in fake.client.list(kind))
    return sorted(name for name in names if "trimtab" in name)


def deleted(fake: Cluster, stage: Mirror) -> list[Running]:
    """End all, as a round that is over does: until nothing is left."""
    while left := list(stage.mirror(wanted({}))):
        assert made(fake, "Service")
        assert not copied(fake)
    return left


def test_they_are_made_copied_to_and_taken_away(fake: Cluster, stage: Mirror) -> None:
    assert [each.ready for each in stage.mirror(wanted(BOTH))] == [0, 0]
    assert made(fake, "Job") == made(fake, "Service") == NAMES
    assert filters(fake) == [FOREIGN]  # nothing is copied before all are ready
    for name, ready in zip(NAMES, (1, 2), strict=True):
        fake.client.patch("Job", name, {"status": {"ready": ready, "failed": 3}}, "status")
    running = stage.mirror(wanted(BOTH, 0.25))
    assert filters(fake)[0] == FOREIGN
    assert copied(fake) == dict.fromkeys(NAMES, 0.25)
    cluster = f"httproute/{fake.namespace}/web/rule/0-mirror-"
    running = stage.mirror(wanted(BOTH, 0.25))
    assert running == [Running("r5-0", f"{cluster}1", 1, 3), Running("r5-1", f"{cluster}2", 2, 3)]
    # The copies end first; a Service goes when no gateway can be looking for it any more.
    assert stage.mirror(wanted({}))
    assert (filters(fake), made(fake, "Job"), made(fake, "Service")) == ([FOREIGN], [], NAMES)
    assert stage.mirror(wanted({})) == []
    assert made(fake, "Service") == []


def test_the_pods_are_those_of_the_target_set_otherwise(fake: Cluster, stage: Mirror) -> None:
    stage.mirror(wanted(BOTH))
    few, many = (fake.client.get("Job", name)["spec"] for name in NAMES)
    assert (few["parallelism"], many["parallelism"]) == (1, 2)
    assert few["activeDeadlineSeconds"] == 3600
    (first,), (second,) = (each["template"]["spec"]["containers"] for each in (few, many))
    env = {each["name"]: each["value"] for each in first["env"]}
    assert env == {"THREADS": "2", "MODE": "fast"}
    assert first["resources"]["limits"] == {"memory": "256Mi"}
    assert first["resources"]["requests"] == {"memory": "256Mi", "cpu": "10m"}
    assert second["args"] == ["serve", "--log=info", "--threads=8"]
    assert second["resources"]["limits"] == {"cpu": "0.5"}
    labels = few["template"]["metadata"]["labels"]
    assert not {"app", "tier"} & labels.keys()  # what the live Service selects by
    entrance = fake.client.get("Service", NAMES[0])["spec"]
    assert entrance["selector"] == labels
    assert entrance["ports"] == [{"name": "http", "port": 80, "targetPort": 8080}]


def test_one_that_ends_early_leaves_the_others_their_place(fake: Cluster, stage: Mirror) -> None:
    stage.mirror(wanted(BOTH))
    (_, before) = stage.mirror(wanted(BOTH, 0.25))
    left = {"r5-1": MANY}
    after = {each.name: each for each in stage.mirror(wanted(left, 0.25))}
    assert copied(fake) == {NAMES[0]: 0.0, NAMES[1]: 0.25}
    assert (made(fake, "Job"), made(fake, "Service")) == (NAMES[1:], NAMES)
    assert after["r5-1"].cluster == stage.mirror(wanted(left, 0.25))[1].cluster != before.name
    deleted(fake, stage)


def test_a_server_that_knows_no_fraction_is_asked_to_refuse_it(
    fake: Cluster, stage: Mirror
) -> None:
    assert fake.fake
    stage.mirror(wanted(BOTH, 0.25))
    (write,) = [
        each.call
        for each in fake.fake.seen
        if (each.call.verb, each.call.kind.plural) == ("patch", "httproutes")
    ]
    assert write.query["fieldValidation"] == "Strict"


def test_a_round_comes_and_goes_also_when_its_daemon_does_not_end_it(
    fake: Cluster, stage: Mirror, tmp_path: Path
) -> None:
    plan = Plan("web", "a", "threads", (FEW, MANY), rate_rps=5.0)
    with Journal.open(str(tmp_path / "journal.db")) as journal:
        rounds = Rounds(journal, time.time, {"web": stage})
        rounds.begin(plan, slo_s=0.3, most=12, now_s=0.0)
        rounds.keep("web", US, "", 1.0)
        assert len(made(fake, "Job")) == 2
        again = Rounds(journal, time.time, {"web": stage})
        for tick in range(2, 4):
            assert not again.idle("web")
            again.keep("web", LATER, "", float(tick))
            if again.idle("web"):
                break
    assert (again.idle("web"), again.rounds["web"].over) == (True, True)
    assert (filters(fake), made(fake, "Job"), made(fake, "Service")) == ([FOREIGN], [], [])


def test_what_is_so_is_not_written_again(fake: Cluster, stage: Mirror) -> None:
    for _ in range(2):
        stage.mirror(wanted(BOTH, 0.25))
    version = fake.client.get("HTTPRoute", "web")["metadata"]["resourceVersion"]
    stage.mirror(wanted(BOTH, 0.25))
    assert fake.client.get("HTTPRoute", "web")["metadata"]["resourceVersion"] == version


@pytest.mark.parametrize(("times", "gives_up"), [(1, False), (2, True)])
def test_a_conflict_is_met_once_more(
    fake: Cluster, stage: Mirror, times: int, gives_up: bool
) -> None:
    assert fake.fake
    stage.mirror(wanted(BOTH))
    with fake.fake.fault(Refusal(409), WRITES, plural="httproutes", times=times):
        if gives_up:
            with pytest.raises(StageError) as error:
                stage.mirror(wanted(BOTH, 0.5))
            assert not isinstance(error.value, StageRefusedError)
        else:
            stage.mirror(wanted(BOTH, 0.5))
    assert copied(fake) == ({} if gives_up else dict.fromkeys(NAMES, 0.5))


@pytest.mark.parametrize("code", [403, 409, 422, 429, 500])
def test_while_the_route_cannot_be_written_nothing_is_taken_from_it(
    fake: Cluster, stage: Mirror, code: int
) -> None:
    assert fake.fake
    stage.mirror(wanted(BOTH, 0.25))
    with (
        fake.fake.fault(Refusal(code), WRITES, plural="httproutes"),
        pytest.raises(StageError) as error,
    ):
        stage.mirror(wanted({}))
    assert not isinstance(error.value, StageRefusedError)  # it is tried again
    assert (made(fake, "Job"), [*copied(fake)]) == (NAMES, NAMES)


def test_without_an_api_server_it_is_not_known(fake: Cluster, stage: Mirror) -> None:
    assert fake.fake
    stage.mirror(wanted(BOTH, 0.25))
    fake.fake.stop()
    with pytest.raises(StageError) as error:
        stage.mirror(wanted({}))
    assert not isinstance(error.value, StageRefusedError)
    fake.fake.start()
    end_s = time.monotonic() + 20.0
    while made(fake, "Service") and time.monotonic() < end_s:
        try:
            stage.mirror(wanted({}))
        except StageError:
            time.sleep(0.1)
    assert (filters(fake), made(fake, "Job"), made(fake, "Service")) == ([FOREIGN], [], [])


def test_another_daemon_takes_away_what_it_finds(
    fake: Cluster, stage: Mirror, tmp_path: Path
) -> None:
    stage.mirror(wanted(BOTH, 0.25))
    with ExitStack() as parts:
        other = begin(fake, tmp_path, parts)
        while other.mirror(wanted({}, epoch=LATER)):
            pass
    assert (filters(fake), made(fake, "Job"), made(fake, "Service")) == ([FOREIGN], [], [])
    with pytest.raises(StageRefusedError, match="trimtab elsewhere leads"):
        stage.mirror(wanted(BOTH, 0.25))
    assert made(fake, "Job") == []


def test_what_a_backend_that_is_gone_had_is_taken_away(fake: Cluster, stage: Mirror) -> None:
    stage.mirror(wanted(BOTH, 0.25))
    with pytest.raises(StageRefusedError, match="no rule of HTTPRoute web"):
        stage.mirror(Wanted("c", BOTH, 0.25, US))
    while stage.mirror(Wanted("c", {}, 0.0, US)):
        pass
    assert (filters(fake), made(fake, "Job"), made(fake, "Service")) == ([FOREIGN], [], [])


def test_who_may_not_look_has_nothing_to_take_away(fake: Cluster, stage: Mirror) -> None:
    assert fake.fake
    with fake.fake.fault(Refusal(403), plural="jobs"):
        with pytest.raises(StageRefusedError, match="Forbidden"):
            stage.mirror(wanted(BOTH))
        assert stage.mirror(wanted({})) == []


def test_a_foreign_filter_that_comes_meanwhile_stays(fake: Cluster, stage: Mirror) -> None:
    stage.mirror(wanted(BOTH, 0.25))
    theirs = {
        "type": "RequestMirror",
        "requestMirror": {"backendRef": {"name": "audit", "port": 80}},
    }
    add = {"op": "add", "path": "/spec/rules/0/filters/1", "value": theirs}
    fake.client.patch("HTTPRoute", "web", [add])
    deleted(fake, stage)
    assert filters(fake) == [FOREIGN, theirs]


@pytest.mark.parametrize(
    ("variant", "backend", "why"),
    [
        (Variant("odd", 1, (Setting("threads", 2.0),)), "a", "setting threads: .* env.NAME"),
        (FEW, "b", "NotFound: .*web-spot"),
    ],
    ids=["a setting with no place", "no Service"],
)
def test_what_cannot_be_is_refused(
    fake: Cluster, stage: Mirror, variant: Variant, backend: str, why: str
) -> None:
    with pytest.raises(StageRefusedError, match=why):
        stage.mirror(Wanted(backend, {"r1-0": variant}, 0.0, US))
    assert deleted(fake, stage) == []
