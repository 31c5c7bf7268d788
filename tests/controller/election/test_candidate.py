"""Candidates and a Lease on an API server, with everything that goes wrong on the way there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.cluster import objects
from tests.cluster.fake.faults import WRITES, Refusal, Silence, Trouble
from tests.cluster.fixtures import Cluster

from trimtab_controller.election.candidate import Candidate, LeadershipLostError
from trimtab_controller.election.spec import LeaseSpec
from trimtab_controller.election.start import stand
from trimtab_sim.schema import ConfigError

Stand = Callable[..., Candidate]

PATIENCE_S = 30.0
LATE = "could not be renewed"


@pytest.fixture
def stand_for(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    yield from standing(cluster, monkeypatch)


@pytest.fixture
def stand_for_fake(fake: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    yield from standing(fake, monkeypatch)


def standing(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stand]:
    """Start a candidate; its times are short, and like real ones to each other."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    with ExitStack() as parts:

        def start() -> Candidate:
            spec = LeaseSpec(cluster.namespace, duration_s=3, renew_s=2.0, retry_s=0.5)
            candidate = stand(spec, "", parts)
            assert candidate
            return candidate

        yield start


def soon(true: Callable[[], bool]) -> bool:
    end_s = time.monotonic() + PATIENCE_S
    while not true() and time.monotonic() < end_s:
        time.sleep(0.02)
    return true()


def test_the_first_leads_the_second_follows_and_takes_over(
    cluster: Cluster, stand_for: Stand
) -> None:
    first, second = stand_for(), stand_for()
    assert soon(lambda: first.barred() == "")
    assert "holds the Lease" in second.barred()
    spec = cluster.client.get("Lease", "trimtab")["spec"]
    assert (spec["leaseTransitions"], spec["leaseDurationSeconds"]) == (0, 3)
    first.close()
    assert first.barred() == "resigned"
    assert soon(lambda: second.barred() == "")
    spec = cluster.client.get("Lease", "trimtab")["spec"]
    assert (spec["leaseTransitions"], spec["holderIdentity"] != "") == (1, True)
    second.check()


def test_a_lease_that_somebody_left_behind_is_waited_for(
    cluster: Cluster, stand_for: Stand
) -> None:
    cluster.client.create(objects.lease("trimtab", "gone", duration_s=2))
    candidate = stand_for()
    assert candidate.barred().startswith("gone holds the Lease")
    assert soon(lambda: candidate.barred() == "")
    lease = cluster.client.get("Lease", "trimtab")
    assert lease["spec"]["leaseTransitions"] == 1


def test_what_others_keep_in_the_lease_stays(cluster: Cluster, stand_for: Stand) -> None:
    lease = objects.lease("trimtab", "", duration_s=1)
    lease["metadata"]["labels"] = {"team": "sre"}
    cluster.client.create(lease)
    candidate = stand_for()
    assert soon(lambda: candidate.barred() == "")
    assert cluster.client.get("Lease", "trimtab")["metadata"]["labels"] == {"team": "sre"}


def test_who_finds_another_in_its_place_is_out(cluster: Cluster, stand_for: Stand) -> None:
    candidate = stand_for()
    cluster.client.patch("Lease", "trimtab", {"spec": {"holderIdentity": "usurper"}})
    assert soon(lambda: "usurper" in candidate.barred())
    with pytest.raises(LeadershipLostError, match=r"usurper holds the Lease .*, which was ours"):
        candidate.check()


@pytest.mark.parametrize(
    "trouble",
    [*(Refusal(code) for code in (401, 403, 409, 422, 429, 500, 503)), *Silence],
    ids=lambda trouble: getattr(trouble, "name", None) or str(trouble.code),
)
def test_while_it_cannot_renew_it_is_barred_and_afterwards_leads_on(
    fake: Cluster, stand_for_fake: Stand, trouble: Trouble
) -> None:
    candidate = stand_for_fake()
    assert fake.fake
    with fake.fake.fault(trouble, plural="leases", verbs=WRITES):
        assert soon(lambda: LATE in candidate.barred())
        candidate.check()
    assert soon(lambda: candidate.barred() == "")
    assert fake.client.get("Lease", "trimtab")["spec"]["leaseTransitions"] == 0


def test_a_server_that_restarts_or_forgets_the_lease_ends_nobody(
    fake: Cluster, stand_for_fake: Stand
) -> None:
    candidate = stand_for_fake()
    assert fake.fake
    fake.fake.stop()
    assert soon(lambda: LATE in candidate.barred())
    fake.fake.start()
    assert soon(lambda: candidate.barred() == "")
    fake.client.delete("Lease", "trimtab")
    assert soon(lambda: bool(fake.client.list("Lease")))
    assert soon(lambda: candidate.barred() == "")


def test_without_a_way_to_a_server_nobody_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere/kubeconfig")
    with ExitStack() as parts, pytest.raises(ConfigError, match="no API server"):
        stand(LeaseSpec("trimtab"), "", parts)
