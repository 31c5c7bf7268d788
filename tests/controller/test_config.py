"""Every mistake in trimtab.yaml is refused with its line and the way out."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from trimtab_controller.config import load
from trimtab_controller.kubernetes.spec import Acting, KubernetesSpec, TargetSpec
from trimtab_guard.limits import BackendLimits, ClusterLimits, Limits
from trimtab_guard.modes import Mode
from trimtab_sim.schema import ConfigError
from trimtab_stage.config import DEMO

GOOD = """\
tick_s: 15
services:
  - name: web
    stage:
      socket: s
    ceiling: assist
    slo:
      latency_s: 0.3
      share: 0.99
    miss_price: 50
    backends:
      - name: a
        concurrency: 4
        service_time_s: 0.05
        startup_mean_s: 2
        min_replicas: 1
        max_replicas: 12
    limits:
      hold_s: 600
"""


CLUSTER = """\
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
        target: {kind: Scale, name: web, api_version: example.org/v1}
        act: scale
        service: web-spot
        concurrency: 4
        service_time_s: 0.05
        startup_mean_s: 40
        min_replicas: 0
        max_replicas: 12
"""


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "trimtab.yaml"
    file.write_text(text)
    return file


def test_a_good_file(tmp_path: Path) -> None:
    (service,) = load(write(tmp_path, GOOD)).services
    assert service.spec.ceiling is Mode.ASSIST
    assert service.limits == Limits(
        "web", (BackendLimits("a", 1, 12, 80.0),), interval_s=15.0, hold_s=600.0
    )
    assert service.profile.backends[0].startup_mean_s == 2.0


def test_the_limits_of_all_services_shrink_with_the_speed(tmp_path: Path) -> None:
    text = "speed: 6\ncluster: {budget: 20, services_at_once: 3}\n" + GOOD
    assert load(write(tmp_path, text)).cluster == ClusterLimits(100.0, 20.0, 10.0, 3)
    assert load(write(tmp_path, GOOD)).cluster == ClusterLimits()


def test_the_demonstration_describes_its_stage() -> None:
    config = load(Path(str(files("trimtab_controller") / "demo.yaml")))
    (service,) = config.services
    assert service.profile == DEMO.profile
    assert (config.tick_s, config.speed) == (1.0, DEMO.speed)
    assert service.spec.ceiling is Mode.GUARDED
    life = Limits("web", service.limits.backends)
    assert service.limits == life.scaled(60.0)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("tick_s: 15", "tick: 15", 1, "tick: unknown key: did you mean 'tick_s'?"),
        ("tick_s: 15", "tick_s: 15\ntick_s: 1", 2, "tick_s: written twice: remove one"),
        ("tick_s: 15", "tick_s: soon", 1, "tick_s: 'soon' must be a number"),
        ("tick_s: 15", "tick_s: .nan", 1, "tick_s: nan must be a finite number"),
        ("tick_s: 15", "tick_s: 0", 1, "tick_s: 0 must be more than 0"),
        ("tick_s: 15", "tick_s: yes", 1, "tick_s: 'yes' must be a number"),
        ("tick_s: 15", "tick_s: [1", 2, "not YAML"),
        ("0.99", "1.5", 9, "services[0].slo.share: 1.5 must be from 0 to 1"),
        ("0.99", "{}", 9, "services[0].slo.share: 'this' must be a number"),
        ("assist", "assist\n    sensor: ssh", 7, "'ssh' must be one of envoy, prometheus, pushed"),
        ("assist", "auto", 6, "ceiling: 'auto' must be one of shadow, approve, assist, guarded"),
        ("tick_s: 15", "cluster: {budget: -1}", 1, "cluster.budget: -1 must be from 0 to 1e+09"),
        ("tick_s: 15", "cluster: {budgets: 1}", 1, "cluster.budgets: unknown key: did you mean"),
        ("tick_s: 15", "cluster: {change_window_s: 0}", 1, "change_window_s: 0 must be from 0.001"),
        ("tick_s: 15", "cluster: {services_at_once: 0}", 1, "at_once: 0 must be from 1 to 100000"),
        (
            "    max_replicas: 12",
            "    price: 0\n        max_replicas: 12",
            17,
            "price: 0 must be more than 0",
        ),
        ("    miss_price: 50\n", "", 3, "services[0]: 'miss_price' is missing: add it here"),
        ("    slo:\n      latency_s: 0.3\n      share: 0.99", "    slo: 1", 7, "must be a mapping"),
        ("max_replicas: 12", "max_replicas: 12.5", 17, "'12.5' must be a whole number"),
        (
            "min_replicas: 1",
            "min_replicas: 20",
            12,
            "'a': min_replicas is 20; it must be at most max",
        ),
        ("max_replicas: 12", "max_replicas: 999999", 12, "'a': max_replicas is 999999; it must be"),
        ("time_s: 0.05", "time_s: 9999", 12, "'a': capacity_rps is 0.000400"),
        ("name: a", "name: 7", 12, "services[0].backends[0].name: '7' must be text, in quotes"),
        *[
            ("ceiling: assist", f"ceiling: assist\n    schedule:\n      {wrong}", 8, message)
            for wrong, message in (
                ("zone: Mars/Base", "services[0].schedule: zone is 'Mars/Base', which this"),
                ("zones: UTC", "services[0].schedule.zones: unknown key: did you mean 'zone'?"),
                ("windows: [{start: '9:00'}]", "schedule.windows[0]: '9:00' is no time of day"),
                ("windows: [{end: 17:30}]", "windows[0].end: '17:30' must be text, in quotes"),
                ("windows: [{days: [fri, son]}]", "windows[0].days[1]: 'son' must be one of mon"),
                ("windows: []", "schedule.windows: must be a list with at least one entry"),
                ("freezes: [{start: 2026-12-24T00:00}]", "freezes[0]: 'end' is missing: add it"),
                (
                    "freezes: [{start: 2026-12-24T00:00, end: 2026-12-23T00:00}]",
                    "freezes[0]: a freeze starts at 2026-12-24T00:00 and ends at 2026-12-23T00:00",
                ),
            )
        ],
        ("hold_s: 600", "lease_s: 0", 19, "limits.lease_s: 0 must be from 60 to 604800"),
        ("hold_s: 600", "hold_s: -5", 19, "limits.hold_s: -5 must be from 0.001 to 3600"),
        ("hold_s: 600", "hold: 600", 19, "limits.hold: unknown key: did you mean 'hold_s'?"),
        ("hold_s: 600", "hold_s: 9999", 19, "limits.hold_s: 9999 must be from 0.001 to 3600"),
        ("hold_s: 600", "interval_s: 1", 19, "limits.interval_s: unknown key"),
        ("hold_s: 600", "blind_s: 20", 19, "services[0].limits: service 'web': blind_s is 20"),
        (GOOD[GOOD.index("services") :], "services: []", 2, "a list with at least one entry"),
        (GOOD, "- 1", 1, "the file: must be a mapping with the keys services"),
        (GOOD, "", 1, "the file is empty: give it the keys services"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    file = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=re.escape(message)) as refused:
        load(file)
    assert str(refused.value).startswith(f"{file}:{line}: ")


def test_a_service_on_kubernetes(tmp_path: Path) -> None:
    (service,) = load(write(tmp_path, CLUSTER)).services
    on_demand, spot = service.spec.backends
    assert service.spec.kubernetes == KubernetesSpec("shop", "web")
    assert on_demand.target == TargetSpec("Deployment", "web-on-demand", "apps/v1")
    assert (on_demand.act, on_demand.service) == (Acting.FLOOR, "")
    assert spot.target == TargetSpec("Scale", "web", "example.org/v1")
    assert (spot.act, spot.service) == (Acting.SCALE, "web-spot")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        (", route: web", "", 2, "kubernetes.route is missing: name the HTTPRoute"),
        ("shop", "''", 3, "services[0].kubernetes: namespace is empty"),
        ("namespace", "namespaces", 3, "namespaces: unknown key: did you mean 'namespace'?"),
        ("    sensor: pushed\n", "", 2, "sensor: envoy reads the local stage"),
        ("    sensor", "    stage: {socket: s}\n    sensor", 2, "exactly one of 'stage' and"),
        ("    kubernetes: {namespace: shop, route: web}\n", "", 2, "exactly one of 'stage' and"),
        (
            "kubernetes: {namespace: shop, route: web}",
            "stage: {socket: s}",
            2,
            "'on-demand': a tar",
        ),
        ("        target: {kind: Deployment, name: web-on-demand}\n", "", 2, "'target' is missing"),
        ("name: web-on-demand", "Name: web", 10, "target.Name: unknown key: did you mean 'name'?"),
        ("name: web-on-demand", "name: ''", 10, "target: kind and name must not be empty"),
        ("name: web,", "name: web, apiVersion: v1, ", 17, "apiVersion: unknown key: did you mean"),
        ("example.org/v1", "example.org/v1/x", 17, "api_version is 'example.org/v1/x': write"),
        ("act: scale", "act: replicas", 18, "act: 'replicas' must be one of floor, scale"),
        ("act: scale", "act: floor", 16, "'spot': min_replicas is 0, but a Horizontal"),
        ("target: {kind: Scale, name: web", "#", 16, "'act' and 'service' are for a 'target'"),
        ("Scale, name: web,", "Deployment, name: web-on-demand,", 1, "object 'Deployment web-on-d"),
    ],
)
def test_mistakes_on_kubernetes(
    tmp_path: Path, old: str, new: str, line: int, message: str
) -> None:
    assert old in CLUSTER
    file = write(tmp_path, CLUSTER.replace(old, new, 1))
    with pytest.raises(ConfigError, match=re.escape(message)) as refused:
        load(file)
    assert str(refused.value).startswith(f"{file}:{line}: ")


def test_names_are_unique(tmp_path: Path) -> None:
    service = GOOD[GOOD.index("  - name: web") :]
    with pytest.raises(ConfigError, match="service 'web' is listed twice: rename or remove one"):
        load(write(tmp_path, GOOD + service))


def test_a_speed_that_shrinks_a_window_away(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trimtab\.yaml: at speed 1e\+06: .*rate_window_s"):
        load(write(tmp_path, "speed: 1000000\n" + GOOD))


@pytest.mark.parametrize(("content", "message"), [(None, "readable"), (b"\xff\xfe", "UTF-8")])
def test_unreadable_files(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "trimtab.yaml"
    if content:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load(file)


def test_the_example_for_kubernetes_is_complete(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "KUBERNETES.md").read_text()
    example = page.partition("```yaml\n")[2].partition("```")[0]
    (service,) = load(write(tmp_path, example)).services
    assert service.backends == ("on-demand", "spot")
    assert service.spec.ceiling is Mode.SHADOW
