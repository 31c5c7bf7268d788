"""Who leads, as a table; and that two never do, whatever is slow, lost or wrong about time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from trimtab_controller.election.election import Claim, Election
from trimtab_controller.election.spec import LeaseSpec

SPEC = LeaseSpec("trimtab", duration_s=10, renew_s=7.0, retry_s=2.0)
OURS = Claim("a", 10, 3, "then", "then", "7")
THEIRS = replace(OURS, holder="b")


def leader(now_s: float = 0.0) -> Election:
    """`a` that has led from ``now_s`` on."""
    election = Election("a", SPEC)
    election.see(None, now_s)
    claim = election.bid(now_s, "now")
    assert claim == Claim("a", 10, 0, "now", "now", "")
    election.won(replace(claim, version="1"), now_s)
    return election


@pytest.mark.parametrize(
    ("seen", "waited_s", "expected"),
    [
        pytest.param(None, 0.0, Claim("a", 10, 0, "now", "now"), id="there is none"),
        pytest.param(THEIRS, 9.9, None, id="somebody else's"),
        pytest.param(THEIRS, 10.0, Claim("a", 10, 4, "now", "now", "7"), id="left alone"),
        pytest.param(
            replace(THEIRS, duration_s=30), 29.0, None, id="for as long as the Lease itself says"
        ),
        pytest.param(
            replace(THEIRS, holder=""), 0.0, Claim("a", 10, 4, "now", "now", "7"), id="let go of"
        ),
        pytest.param(
            OURS, 0.0, replace(OURS, renewed="now"), id="ours, by a write without an answer"
        ),
    ],
)
def test_what_a_candidate_bids(seen: Claim | None, waited_s: float, expected: Claim | None) -> None:
    election = Election("a", SPEC)
    election.see(seen, 100.0)
    assert election.bid(100.0 + waited_s, "now") == expected
    holder = (seen and seen.holder) or "nobody"
    assert election.barred(100.0 + waited_s) == f"{holder} holds the Lease trimtab/trimtab"


def test_every_sign_of_life_begins_the_wait_anew() -> None:
    election = Election("a", SPEC)
    for second in range(0, 60, 5):
        election.see(replace(THEIRS, renewed=str(second), version=str(second)), float(second))
        assert election.waits_s(second + 2.0) == 8.0
    assert election.bid(64.9, "now") is None
    assert election.bid(65.0, "now") is not None


@pytest.mark.parametrize(
    ("now_s", "why"),
    [
        (0.0, ""),
        (6.9, ""),
        (7.0, "the Lease trimtab/trimtab could not be renewed for 7.0 s"),
        (60.0, "the Lease trimtab/trimtab could not be renewed for 60.0 s"),
    ],
)
def test_a_leader_counts_from_before_its_last_renewal(now_s: float, why: str) -> None:
    assert leader().barred(now_s) == why


def test_who_could_not_renew_goes_on_when_nobody_came_meanwhile() -> None:
    election = leader()
    assert election.barred(3600.0)
    election.see(Claim("a", 10, 0, "now", "now", "1"), 3600.0)
    claim = election.bid(3600.0, "later")
    assert claim == Claim("a", 10, 0, "now", "later", "1")
    election.won(replace(claim, version="2"), 3600.0)
    assert election.barred(3606.0) == ""


def test_a_lease_that_was_deleted_is_made_again() -> None:
    election = leader()
    election.see(None, 2.0)
    assert election.bid(2.0, "now") == Claim("a", 10, 0, "now", "now", "")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(Claim("b", 10, 1, version="2"), id="somebody else's"),
        pytest.param(Claim("", 1, 0, version="2"), id="nobody's"),
        pytest.param(Claim("a", 10, 2, version="3"), id="ours, after somebody else's"),
    ],
)
def test_a_leadership_ends_for_good_with_its_record(other: Claim) -> None:
    election = leader()
    election.see(other, 1.0)
    ended = f"{other.holder or 'nobody'} holds the Lease trimtab/trimtab, which was ours"
    assert (election.lost, election.barred(1.0)) == (ended, ended)
    election.see(Claim("a", 10, 0, version="4"), 2.0)
    assert election.bid(100.0, "now") is None
    assert election.resign("now") is None


def test_who_resigns_lets_the_next_one_in_at_once() -> None:
    election = leader()
    claim = election.resign("end")
    assert claim == Claim("", 1, 0, "now", "end", "1")
    assert election.barred(0.0) == "resigned"
    following = Election("b", SPEC)
    following.see(claim, 0.0)
    assert following.waits_s(0.0) == 0.0
    assert Election("c", SPEC).resign("end") is None


@dataclass
class Process:
    """A candidate whose clock shows something of its own, and what it has sent."""

    election: Election
    clock_s: float
    sent: tuple[Claim, float] | None = None
    arrived: Claim | None = None


class Cluster(RuleBasedStateMachine):
    """Three candidates and one Lease; anything may take any time, or be lost."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.lease: Claim | None = None
        self.version = 0
        self.processes = [Process(Election(name, SPEC), clock_s) for name, clock_s in CLOCKS]
        self.terms: dict[int, str] = {}

    @rule(seconds=st.sampled_from([0.5, 1.0, 3.0, 6.5, 10.0, 11.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(of=st.integers(0, 2))
    def looks_and_sends(self, of: int) -> None:
        process = self.processes[of]
        if process.sent is None:
            clock_s = self.now_s + process.clock_s
            process.election.see(self.lease, clock_s)
            if claim := process.election.bid(clock_s, ""):
                process.sent = (claim, clock_s)

    @rule(of=st.integers(0, 2))
    def arrives(self, of: int) -> None:
        process = self.processes[of]
        if process.sent and process.sent[0].version == (self.lease.version if self.lease else ""):
            self.version += 1
            self.lease = process.arrived = replace(process.sent[0], version=str(self.version))

    @rule(of=st.integers(0, 2), lost=st.booleans())
    def is_answered(self, of: int, lost: bool) -> None:
        process = self.processes[of]
        sent, arrived = process.sent, process.arrived
        process.sent = process.arrived = None
        if sent and arrived and not lost:
            process.election.won(arrived, sent[1])

    @rule(of=st.integers(0, 2))
    def takes_a_turn(self, of: int) -> None:
        self.looks_and_sends(of)
        self.arrives(of)
        self.is_answered(of, lost=False)

    @rule(of=st.integers(0, 2))
    def resigns(self, of: int) -> None:
        process = self.processes[of]
        claim = process.election.resign("")
        if claim and self.lease and claim.version == self.lease.version:
            self.version += 1
            self.lease = replace(claim, version=str(self.version))
        self.processes[of] = Process(Election(f"{of}.{self.version}", SPEC), process.clock_s)

    @invariant()
    def at_most_one_leads(self) -> None:
        leading = [p for p in self.processes if not p.election.barred(self.now_s + p.clock_s)]
        assert len(leading) <= 1

    @invariant()
    def no_two_leaderships_have_the_same_number(self) -> None:
        if self.lease and self.lease.holder:
            held = self.terms.setdefault(self.lease.transitions, self.lease.holder)
            assert held == self.lease.holder


CLOCKS = (("0", 0.0), ("1", 1e6), ("2", -5.0))
TestCluster = Cluster.TestCase
TestCluster.settings = settings(max_examples=150, stateful_step_count=50)


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda: LeaseSpec(""), "namespace and name must not be empty"),
        (lambda: LeaseSpec("n", renew_s=8.0), "must grow in this order, and are 1.8, 8 and 8"),
        (lambda: LeaseSpec("n", retry_s=5.0), "must grow in this order, and are 6, 5 and 8"),
    ],
)
def test_times_that_would_let_two_lead_are_refused(
    make: Callable[[], LeaseSpec], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        make()
