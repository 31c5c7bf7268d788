"""A service profile survives its file; every mistake in one is refused with line and way out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_sim.profile import BackendProfile, Profile
from trimtab_sim.profile_file import Interval, Unknown, read_service, service_text
from trimtab_sim.schema import ConfigError

GOOD = """\
name: web
slo:
  latency_s: 0.3
  share: 0.99
backends:
  - name: a
    concurrency: 4
    service_time_s: 0.05
    startup_mean_s: 2
    min_replicas: 1
    max_replicas: 12
intervals:
  - {quantity: service_time_s, backend: a, low: 0.049, high: 0.051}
"""
BACKEND = GOOD[GOOD.index("  - name: a") : GOOD.index("intervals:")]
POSITIVE = st.floats(1e-6, 1e6)
BACKENDS = st.builds(
    BackendProfile,
    name=st.text("abc-é: '#", min_size=1),
    concurrency=st.integers(1, 500),
    service_time_s=POSITIVE,
    service_scv=st.floats(0, 10),
    startup_mean_s=POSITIVE,
    startup_cv=st.floats(0, 10),
    price=POSITIVE,
)


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "service.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_a_file_by_hand(tmp_path: Path) -> None:
    found = read_service(write(tmp_path, GOOD))
    assert found.profile == Profile(
        "web", (BackendProfile("a", startup_mean_s=2, max_replicas=12),)
    )
    assert found.intervals == (Interval("service_time_s", 0.049, 0.051, "a"),)


@settings(max_examples=50)
@given(st.lists(BACKENDS, min_size=1, max_size=3, unique_by=lambda backend: backend.name), POSITIVE)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, backends: list[BackendProfile], lag_s: float
) -> None:
    profile = Profile("web é", tuple(backends), metric_lag_s=lag_s)
    bounds = (Interval("metric_lag_s", 0.0, lag_s),)
    file = write(tmp_path_factory.mktemp("profile"), service_text(profile, bounds))
    found = read_service(file)
    assert (found.profile, found.intervals, found.unknown) == (profile, bounds, ())


def test_what_nobody_knows_is_no_number(tmp_path: Path) -> None:
    profile = Profile("web", (BackendProfile("a"), BackendProfile("b")))
    doubt = Unknown("startup_mean_s", "no replica was started", "b")
    text = service_text(profile, (), (doubt,))
    with pytest.raises(ConfigError, match=r"s\[1\]\.startup_mean_s: 'unknown' must be a number"):
        read_service(write(tmp_path, text))
    found = read_service(write(tmp_path, text.replace(": unknown", ": 45")))
    assert (found.profile, found.unknown) == (profile, (doubt,))


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("name: web", "nam: web", 1, "nam: unknown key: did you mean 'name'?"),
        ("    concurrency: 4\n", "", 6, "backends[0]: 'concurrency' is missing: add it here"),
        ("concurrency: 4", "concurrency: 0", 7, "backends[0].concurrency: 0 must be 1 or more"),
        ("0.05\n", "0\n", 8, "backends[0].service_time_s: 0 must be more than 0"),
        ("backend: a", "backend: b", 1, "service_time_s is of backend 'b': there is only a"),
        (BACKEND, 2 * BACKEND, 1, "backend 'a' is listed twice: rename or remove one"),
        ("low: 0.049", "lowest: 0", 13, "intervals[0].lowest: unknown key: did you mean 'low'"),
        (GOOD, "", 1, "the file is empty: give it the keys name, slo, backends"),
    ],
)
def test_mistakes(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in GOOD
    file = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(ConfigError, match=re.escape(message)) as refused:
        read_service(file)
    assert str(refused.value).startswith(f"{file}:{line}: ")
