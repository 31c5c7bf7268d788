"""The API server would refuse what the guard would, and nothing that the guard lets through."""

from __future__ import annotations

import copy
import random
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from trimtab_controller.cli import main
from trimtab_controller.config import load
from trimtab_controller.kubernetes.admission.policies import documents
from trimtab_controller.kubernetes.admission.tables import plural, variables
from trimtab_controller.kubernetes.variants import Origin, mirrored
from trimtab_controller.protocols import Intent
from trimtab_controller.variants.plan import Setting, Variant
from trimtab_controller.worst_case import grown_from, shrunk_from
from trimtab_guard.authority import Epoch

from .evaluator import Policy, Review

World = Any  # the class in the controller's conftest.py, which cannot be imported from here
Object = dict[str, Any]

US = "system:serviceaccount:trimtab:trimtab"
YAML = """\
services:
  - name: web
    kubernetes: {namespace: shop, route: web}
    sensor: pushed
    ceiling: assist
    slo: {latency_s: 0.3, share: 0.99}
    miss_price: 50
    backends:
      - name: on-demand
        target: {kind: Deployment, name: web-on-demand}
        concurrency: 4
        service_time_s: 0.05
        startup_mean_s: 20
        min_replicas: 2
        max_replicas: 12
      - name: spot
        target: {kind: Fleet, name: web-2, api_version: example.org/v1}
        service: web-spot
        act: scale
        concurrency: 4
        service_time_s: 0.05
        startup_mean_s: 40
        min_replicas: 0
        max_replicas: 12
    limits: {LIMITS}
"""


class Server:
    """All policies of a configuration."""

    def __init__(
        self, folder: Path, limits: str = "hold_s: 300", least: int = 2, **more: bool
    ) -> None:
        folder.mkdir(exist_ok=True)
        file = folder / "trimtab.yaml"
        text = YAML.replace("LIMITS", limits)
        file.write_text(text.replace("min_replicas: 2", f"min_replicas: {least}"))
        self.config = load(file)
        found = [*documents(self.config, "trimtab/trimtab", **more)]
        self.policies = [Policy(each) for each in found if each["kind"].endswith("Policy")]

    def denials(self, review: Review) -> list[str]:
        return [word for policy in self.policies for word in policy.denials(review)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    return Server(tmp_path_factory.mktemp("server"))


@pytest.fixture(scope="module")
def lenient(tmp_path_factory: pytest.TempPathFactory) -> Server:
    """One that lets variants be."""
    return Server(tmp_path_factory.mktemp("lenient"), variants=True)


def meta(epoch: str = "3 ann", **more: Any) -> Object:
    notes = {"trimtab.dev/epoch": epoch} if epoch else {}
    return {"name": "web", "labels": {"app": "web"}, "annotations": {**notes, "team": "a"}, **more}


def autoscaler(least: int, present: int, target: str = "web-on-demand") -> Object:
    return {
        "metadata": meta(),
        "spec": {
            "minReplicas": least,
            "maxReplicas": 30,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": target},
            "metrics": [{"type": "Resource"}],
        },
        "status": {"currentReplicas": present, "desiredReplicas": present},
    }


def floor(least: int, was: int, present: int = 0, target: str = "web-on-demand") -> Review:
    new, old = (autoscaler(each, present or was, target) for each in (least, was))
    return Review(US, "horizontalpodautoscalers", "autoscaling", new, old)


def scale(replicas: int, was: int, name: str = "web-2") -> Review:
    new, old = ({"metadata": {}, "spec": {"replicas": n} if n else {}} for n in (replicas, was))
    return Review(US, "fleets", "example.org", new, old, part="scale", name=name)


def route(*weights: int, kept: int = 7) -> Object:
    names = ("web-on-demand", "web-spot", "other")
    backends = [
        {"name": name, "port": 80, "weight": weight}
        for name, weight in zip(names, (*weights, kept), strict=True)
    ]
    path = {"type": "PathPrefix", "value": "/"}
    rules = [{"matches": [{"path": path}], "backendRefs": backends}, {"filters": []}]
    return {"metadata": meta(), "spec": {"hostnames": ["web"], "rules": rules}}


def moved(new: Object, old: Object | None = None) -> Review:
    return Review(US, "httproutes", "gateway.networking.k8s.io", new, old or route(50, 50))


def edited(review: Review, *path: Any, value: Any) -> Review:
    """The same with another value at ``path`` of what is written; None takes it away."""
    new = copy.deepcopy(review.new)
    place: Any = new
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return replace(review, new=new)


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


SHOP = {"namespace": "shop", "name": "web"}
POD = {
    "metadata": {"labels": {"app": "web"}, "annotations": {"a": "b"}},
    "spec": {"containers": [{"name": "web", "env": []}]},
}


def copied(before: list[Object], *names: str, share: float = 0.1) -> Review:
    """A write that has rule 0 copy for variants, beside the filters that it had."""
    old, new = route(50, 50), route(60, 40)
    old["spec"]["rules"][0]["filters"] = before
    new["spec"]["rules"][0]["filters"] = mirrored(before, 80, names, share)
    return moved(new, old)


def made(kind: str, service: str = "web-spot", known_as: str = "r3-0", **more: Any) -> Review:
    """A variant's Job or Service as it is made, with what the API server adds to it."""
    target = {"metadata": SHOP, "kind": "Deployment", "spec": {"template": POD}}
    entrance = {"metadata": {"name": service}, "spec": {"ports": [{"port": 80}]}}
    origin, epoch = Origin("web", target, entrance), Epoch(3, "ann")
    if kind == "jobs":
        new = origin.job(known_as, Variant((Setting("env.A", 2.0),), 1), epoch)
        new["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/job-name"] = "x"
    else:
        new = origin.entrance(known_as, epoch)
        new["spec"] |= {"type": "ClusterIP", "clusterIP": "10.0.0.1"}
    group = "batch" if kind == "jobs" else ""
    name = new["metadata"]["name"]
    fields = {"operation": "CREATE", "name": name, **more}
    return Review(US, kind, group, new, **fields)


def gone(review: Review) -> Review:
    return replace(review, new=None, old=review.new, operation="DELETE")


FOREIGN = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}
THEIRS = {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "audit", "port": 80}}}
FIRST, SECOND = "web-spot-trimtab-r3-0", "web-spot-trimtab-r3-1"
OF_VARIANTS = {
    "copies": copied([], FIRST, SECOND),
    "copies behind others": copied([FOREIGN, THEIRS], FIRST),
    "no copies any more": copied(mirrored([FOREIGN], 80, [FIRST], 0.1)),
    "a variant ends early": copied(mirrored([], 80, [FIRST, SECOND], 0.1), FIRST),
    "a Job": made("jobs"),
    "a Service": made("services"),
    "a Job goes": gone(made("jobs")),
    "a Service goes": gone(made("services")),
}
BEYOND = {
    "copies elsewhere": (copied([], "audit-trimtab-r3-0"), "only those that copy for variants"),
    "copies of all": (
        edited(copied([], FIRST), "spec", "rules", 0, "filters", 0, "requestMirror", "fraction",
               value=None),
        "only those that copy for variants",
    ),
    "copies to another namespace": (
        edited(copied([], FIRST), "spec", "rules", 0, "filters", 0, "requestMirror", "backendRef",
               "namespace", value="bank"),
        "only those that copy for variants",
    ),
    "another's filter changed": (
        edited(copied([FOREIGN], FIRST), "spec", "rules", 0, "filters", 0, value=THEIRS),
        "only those that copy for variants",
    ),
    "another's filter gone": (
        edited(copied([FOREIGN], FIRST), "spec", "rules", 0, "filters", 0, value=None),
        "only those that copy for variants",
    ),
    "a Job of another route": (
        edited(made("jobs"), "metadata", "labels", "trimtab.dev/copies-of", value="api"),
        "shop/api is not in trimtab.yaml",
    ),
    "a Job in another namespace": (made("jobs", namespace="bank"), "bank/web is not in trimtab"),
    "a Job of another name": (made("jobs", name="web-backup"), "nothing but variants: web-backup"),
    "a Job for ever": (
        edited(made("jobs"), "spec", "activeDeadlineSeconds", value=None), "end within 3600 s",
    ),
    "a Job for too long": (
        edited(made("jobs"), "spec", "activeDeadlineSeconds", value=9999), "end within 3600 s",
    ),
    "pods behind the live Service": (
        edited(made("jobs"), "spec", "template", "metadata", "labels", "app", value="web"),
        "have its labels and no others",
    ),
    "a Service of live pods": (
        edited(made("services"), "spec", "selector", value={"app": "web"}), "has its pods",
    ),
    "a Service for the world": (
        edited(made("services"), "spec", "type", value="LoadBalancer"), "has its pods",
    ),
    "another's Job goes": (
        gone(edited(made("jobs"), "metadata", "labels", value={"app": "web"})),
        "shop/ is not in trimtab.yaml",
    ),
    "another's Service goes": (
        gone(made("services", name="web-spot")), "nothing but variants: web-spot",
    ),
    "a Job is changed": (
        replace(made("jobs"), operation="UPDATE", old=made("jobs").new), "a variant never changes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("review", OF_VARIANTS.values(), ids=OF_VARIANTS)
def test_variants_are_let_through_where_that_is_wanted(
    server: Server, lenient: Server, review: Review
) -> None:
    assert lenient.denials(review) == []
    assert server.denials(review) or review.resource != "httproutes"


@pytest.mark.parametrize(("review", "says"), BEYOND.values(), ids=BEYOND)
def test_nothing_else_is_a_variant(lenient: Server, review: Review, says: str) -> None:
    assert any(says in denial for denial in lenient.denials(review))


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
