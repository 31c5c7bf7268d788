"""The API server would refuse what the guard would, and nothing that the guard lets through."""

from __future__ import annotations

import random
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from trimtab_controller.cli import main
from trimtab_controller.kubernetes.admission.policies import documents
from trimtab_controller.kubernetes.admission.tables import plural, variables
from trimtab_controller.protocols import Intent
from trimtab_controller.worst_case import grown_from, shrunk_from

from .evaluator import Policy, Review
from .writes import US, YAML, Server, autoscaler, edited, floor, meta, moved, route, scale

World = Any  # the class in the controller's conftest.py, which cannot be imported from here

ALLOWED = {
    "floor up": floor(8, 4),
    "floor down": floor(9, 10),
    "floor up to what is there": floor(12, 2, present=12),
    "floor as it is, out of bounds": floor(20, 20),
    "floor from above down to the bounds": floor(18, 20),
    "scale up": scale(4, 0),
    "scale down to nothing": scale(0, 1),
    "weights": moved(route(100, 0)),
    "annotations of ours": edited(
        floor(5, 4), "metadata", "annotations", "trimtab.dev/last-write", value="now"
    ),
    "the first epoch": replace(
        floor(5, 4), old={**autoscaler(4, 4), "metadata": meta(epoch="")}
    ),
    "a newer epoch": edited(
        floor(5, 4), "metadata", "annotations", "trimtab.dev/epoch", value="10 bob"
    ),
    "a human": replace(floor(99, 4), user="ann"),
    "another account": replace(floor(99, 4), user="system:serviceaccount:shop:trimtab"),
    "a status": replace(floor(99, 4), part="status"),
    "a new version and bookkeeping": edited(floor(5, 4), "metadata", "managedFields", value=[{}]),
}  # fmt: skip
DENIED = {
    "below the least": (floor(1, 2), "1 replicas are not within 2 to 12"),
    "above the most": (floor(13, 12), "13 replicas are not within 2 to 12"),
    "too much at once": (floor(9, 4), "from 4 to 9 replicas is more than may be added"),
    "too little left at once": (floor(8, 10), "from 10 to 8 replicas is more than may be taken"),
    "another autoscaler": (
        floor(5, 4, target="api"), "shop/Deployment.apps/api is not in trimtab.yaml",
    ),
    "another namespace": (
        replace(floor(5, 4), namespace="bank"), "bank/Deployment.apps/web-on-demand is not in",
    ),
    "its most replicas": (
        edited(floor(5, 4), "spec", "maxReplicas", value=99), "only minReplicas is for trimtab",
    ),
    "its metrics": (edited(floor(5, 4), "spec", "metrics", value=None), "only minReplicas"),
    "a behaviour": (edited(floor(5, 4), "spec", "behavior", value={}), "only minReplicas"),
    "its target": (
        edited(floor(5, 4), "spec", "scaleTargetRef", "name", value="api"), "only minReplicas",
    ),
    "a label": (edited(floor(5, 4), "metadata", "labels", "app", value="b"), "labels, finalizers"),
    "an owner": (
        edited(floor(5, 4), "metadata", "ownerReferences", value=[{}]), "labels, finalizers",
    ),
    "a foreign annotation": (
        edited(floor(5, 4), "metadata", "annotations", "team", value="b"), "only annotations trim",
    ),
    "a foreign annotation that goes": (
        edited(floor(5, 4), "metadata", "annotations", "team", value=None), "only annotations tri",
    ),
    "an older epoch": (
        edited(floor(5, 4), "metadata", "annotations", "trimtab.dev/epoch", value="2 ann"),
        'trimtab.dev/epoch is "2 ann", and was "3 ann"',
    ),
    "the same epoch of another": (
        edited(floor(5, 4), "metadata", "annotations", "trimtab.dev/epoch", value="3 bob"),
        'trimtab.dev/epoch is "3 bob"',
    ),
    "no epoch": (
        edited(floor(5, 4), "metadata", "annotations", "trimtab.dev/epoch", value=None),
        'trimtab.dev/epoch is ""',
    ),
    "scale beyond the most": (scale(13, 12), "13 replicas are not within 0 to 12"),
    "scale too fast": (scale(5, 0), "from 0 to 5 replicas is more than may be added"),
    "scale of another": (scale(1, 0, name="web-3"), "shop/fleets.example.org/web-3 is not in"),
    "replicas past scale": (
        Review(US, "fleets", "example.org", {"metadata": meta(), "spec": {"replicas": 2}},
               {"metadata": meta(), "spec": {"replicas": 1}}, name="web-2"),
        "replicas are written through scale",
    ),
    "a Deployment that only has a floor": (
        Review(US, "deployments", "apps", {"metadata": meta(), "spec": {}},
               {"metadata": meta(), "spec": {}}, name="web-on-demand"),
        "shop/deployments.apps/web-on-demand is not in trimtab.yaml",
    ),
    "another route": (replace(moved(route(60, 40)), name="api"), "shop/api is not in trimtab.yaml"),
    "no weight left": (moved(route(0, 0, kept=0), route(1, 1, kept=0)), "of a rule are all 0"),
    "another's weight": (
        moved(route(50, 50, kept=9)), "only weights of web-on-demand, web-spot are for trimtab",
    ),
    "a host": (edited(moved(route(1, 1)), "spec", "hostnames", value=["x"]), "only weights"),
    "a filter": (
        edited(moved(route(1, 1)), "spec", "rules", 1, "filters", value=[{}]), "only weights",
    ),
    "a rule less": (edited(moved(route(1, 1)), "spec", "rules", 1, value=None), "only weights"),
    "a backend less": (
        edited(moved(route(1, 1)), "spec", "rules", 0, "backendRefs", 2, value=None),
        "only weights",
    ),
    "another backend": (
        edited(moved(route(1, 1)), "spec", "rules", 0, "backendRefs", 0, "name", value="x"),
        "only weights",
    ),
    "another port": (
        edited(moved(route(1, 1)), "spec", "rules", 0, "backendRefs", 0, "port", value=81),
        "only weights",
    ),
    "a new autoscaler": (
        replace(floor(5, 4), operation="CREATE", old=None), "makes and deletes nothing",
    ),
    "no autoscaler": (
        replace(floor(5, 4), operation="DELETE", new=None), "makes and deletes nothing",
    ),
    "a new target": (
        replace(scale(1, 0), operation="CREATE", old=None, part=""), "makes and deletes nothing",
    ),
}  # fmt: skip


@pytest.mark.parametrize("review", ALLOWED.values(), ids=ALLOWED)
def test_what_is_allowed(server: Server, lenient: Server, review: Review) -> None:
    assert server.denials(review) == lenient.denials(review) == []


@pytest.mark.parametrize(("review", "says"), DENIED.values(), ids=DENIED)
def test_what_is_denied(server: Server, lenient: Server, review: Review, says: str) -> None:
    assert any(says in denial for denial in server.denials(review))
    assert lenient.denials(review)


@pytest.mark.parametrize(
    "limits",
    [
        "hold_s: 300",
        "up_percent: 0, up_replicas: 1, down_percent: 0, down_replicas: 0",
        "up_percent: 33, up_replicas: 0, down_percent: 50, down_replicas: 3",
    ],
    ids=["defaults", "slow", "by percent"],
)
def test_replicas_are_bounded_as_the_guard_bounds_them(tmp_path: Path, limits: str) -> None:
    """Every write from every level, at the guard's own functions."""
    server = Server(tmp_path, limits)
    own = server.config.services[0].limits
    backend = own.backends[0]
    for was in range(1, backend.max_replicas + 4):
        least = min(was, shrunk_from(was, own, backend))
        most = max(was, grown_from(was, own, backend))
        allowed = [n for n in range(1, 20) if not server.denials(floor(n, was))]
        assert allowed == [*range(least, most + 1)], f"from {was}"


def test_whatever_the_policy_wants_what_the_guard_writes_is_let_through(
    world: World, tmp_path: Path
) -> None:
    """A hostile policy on the real loop, whose backends have the limits of the server's one."""
    server, chance = Server(tmp_path / "server", least=1), random.Random(5)
    apply, moves = world.stage.apply, []

    def judged(intent: Intent) -> str:
        before = {want.name: want.replicas for want in intent.before}
        for ask in intent.asks:
            if ask.floor is not None:
                was = before[ask.backend]
                moves.append(ask.floor - was)
                assert server.denials(floor(ask.floor, was, ask.wanted)) == []
        return apply(intent)

    world.stage.apply = judged
    for _ in range(150):
        world.stage.hpa["a"] = chance.randrange(1, 12)
        world.want(chance.randrange(20), chance.randrange(20), chance.random())
        world.tick(7)  # as long as the guard holds a wish, and more
    assert sum(move > 0 for move in moves) > 50
    assert sum(move < 0 for move in moves) > 50


@pytest.mark.parametrize(
    ("new", "old", "denied"),
    [
        pytest.param((60, 40), (50, 50), False, id="one step"),
        pytest.param((61, 39), (50, 50), True, id="further"),
        pytest.param((40, 60), (50, 50), False, id="one step back"),
        pytest.param((39, 61), (50, 50), True, id="further back"),
        pytest.param((6000, 4000), (1, 1), False, id="other totals"),
        pytest.param((6667, 3333), (4, 3), False, id="rounded"),
        pytest.param((100, 0), (50, 50), True, id="leaving a backend"),
        pytest.param((1, 0), (0, 0), False, id="the first weights"),
    ],
)
def test_a_share_moves_step_by_step_where_that_is_wanted(
    tmp_path: Path, new: tuple[int, int], old: tuple[int, int], denied: bool
) -> None:
    server = Server(tmp_path, weight_step=True)
    told = server.denials(moved(route(*new, kept=0), route(*old, kept=0)))
    assert told == (["a share moves by more than 100 thousandths"] if denied else [])


@pytest.mark.parametrize(
    ("kind", "resource"),
    [("Deployment", "deployments"), ("Proxy", "proxies"), ("Ingress", "ingresses")],
)
def test_plurals(kind: str, resource: str) -> None:
    assert plural(kind) == resource


def test_a_large_configuration_stays_below_the_longest_expression() -> None:
    table = {
        f"a-namespace/Deployment.apps/{'x' * 60}-{n}": [1, 100_000, 100, 4, 10, 1]
        for n in range(2000)
    }
    written = variables(table)
    assert max(map(len, written.values())) < 100_000
    spec = {"variables": [{"name": "key", "expression": "string(request.key)"}]}
    spec["variables"] += [{"name": name, "expression": cel} for name, cel in written.items()]
    says = {
        "expression": "size(variables.limit) == 0",
        "messageExpression": "string(variables.limit[1])",
    }
    policy = Policy({"spec": {**spec, "validations": [says], "matchConditions": []}})
    for key in [*table][::199]:
        assert policy.value_of("limit", {"request": {"key": key}}) == table[key]
    assert policy.value_of("limit", {"request": {"key": "else"}}) == []


def test_the_command_prints_them(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "trimtab.yaml"
    file.write_text(YAML.replace("LIMITS", "hold_s: 300"))
    arguments = ["limits", "admission-policy", "--config", str(file), "--account", "ops/tt"]
    told = CliRunner().invoke(main, arguments)
    assert told.exit_code == 0, told.output
    assert list(yaml.safe_load_all(told.output)) == [*documents(server.config, "ops/tt")]
    assert "system:serviceaccount:ops:tt" in told.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--account", "tt"], "'tt' is not NAMESPACE/NAME of a ServiceAccount"),
        (["--account", "a/b'c"], "is not NAMESPACE/NAME"),
        ([], "no service is on Kubernetes"),
    ],
)
def test_mistakes(arguments: list[str], says: str) -> None:
    demo = str(files("trimtab_controller") / "demo.yaml")
    told = CliRunner().invoke(main, ["limits", "admission-policy", "--config", demo, *arguments])
    assert told.exit_code != 0
    assert says in told.output
