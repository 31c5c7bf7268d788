"""What `Recommend` remembers, of whom, and what it does with what it is not told."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trimtab_agents.bundle import load as load_bundle
from trimtab_agents.proposer import Proposer
from trimtab_controller.protocols import PolicyError
from trimtab_controller.recommend.ledger import Ledger
from trimtab_controller.recommend.recommenders import Recommenders
from trimtab_controller.recommend.report import in_order, read
from trimtab_controller.recommend.subject import Subject, configured
from trimtab_controller.refusals import InvalidRequest
from trimtab_guard.limits import BackendLimits, Limits
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_sim.profile import BackendProfile, Profile

World = Any  # the class in conftest.py, which cannot be imported from here

ROOM = 3
BACKENDS = tuple(BackendProfile(name) for name in "ab")
SUBJECT = Subject(
    Profile("web", BACKENDS), Limits("web", tuple(BackendLimits(n, 1, 9, 80.0) for n in "ab")), 50.0
)
COUNTS = {"wanted": 2, "starting": 0, "ready": 2, "draining": 0}
READINGS = {"weight": 0.5, "rate_rps": 50.0, "in_flight": 2.0, "error_share": 0.0}
WHOLE = {"p50_ms": 50.0, "p95_ms": 90.0, "miss_share": 0.0}


class Desk:
    """One world's recommenders, asked without a wire."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.policies = 0
        self.ledger = Ledger(world.journal, world.clock)
        subjects = configured(world.config)
        self.recommenders = Recommenders(subjects, self.policy, self.ledger, world.clock, room=ROOM)

    def policy(self, _subject: Subject) -> Any:
        self.policies += 1
        return self.world.policy

    def ask(self, request: pb.RecommendRequest, identity: str = "") -> pb.RecommendReply:
        question = self.recommenders.question(request, identity)
        return self.recommenders.standing(question) or self.recommenders.answer(question)

    def ask_for(self, seconds: int, **changes: Any) -> pb.RecommendReply:
        """Once a second; returns the last answer."""
        for _ in range(seconds):
            self.world.clock.now_s += 1.0
            reply = self.ask(report(self.world.clock(), **changes))
        return reply


@pytest.fixture
def desk(new_world: Callable[..., World]) -> Iterator[Desk]:
    desk = Desk(new_world(Mode.SHADOW, warm=False))
    yield desk
    desk.ledger.close()


def report(time_s: float, *without: str, **changes: Any) -> pb.RecommendRequest:
    """All that can be told; ``without`` some fields of backend a, or of the service."""
    backends = [{"name": name, **COUNTS, **READINGS} for name in "ab"]
    fields = {"service": "web", "caller": "hpa", "time_s": time_s, **WHOLE, **changes}
    for name in without:
        (backends[0] if name in backends[0] else fields).pop(name)
    return pb.RecommendRequest(backends=backends, **fields)


def counts(reply: pb.RecommendReply) -> list[int]:
    return [decision.replicas for decision in reply.decision]


def test_it_lets_go_once_a_window_has_been_reported(desk: Desk) -> None:
    first = desk.ask_for(1)
    assert (counts(first), first.trust, first.memory_s) == ([2, 2], pb.TRUST_UP, 0.0)
    assert first.window_s == 5.0
    last = desk.ask_for(8)
    assert (counts(last), last.trust, last.why) == ([1, 1], pb.TRUST_FULL, "because")
    assert (last.memory_s, list(last.missing)) == (5.0, [])


@pytest.mark.parametrize(
    ("caller", "identity", "counted"),
    [("hpa", "", [1, 1]), ("keda", "", [2, 2]), ("hpa", "eve", [2, 2]), ("", "", [2, 2])],
    ids=["the same", "another name", "the name of another", "nobody"],
)
def test_a_memory_is_its_callers_own(
    desk: Desk, caller: str, identity: str, counted: list[int]
) -> None:
    desk.ask_for(9)
    desk.world.clock.now_s += 1.0
    reply = desk.ask(report(desk.world.clock(), caller=caller), identity)
    assert counts(reply) == counted
    assert ("no scale-down" in reply.why) == (counted == [2, 2])


def test_nobody_in_particular_is_never_remembered(desk: Desk) -> None:
    assert counts(desk.ask_for(9, caller="")) == [2, 2]
    assert desk.policies == 9


def test_a_repeat_teaches_nothing_and_has_the_same_answer(desk: Desk) -> None:
    first = desk.ask_for(1)
    seen = len(desk.world.policy.seen)
    for late_s in (0.0, 0.0, 0.4, 1.0):
        request = report(desk.world.clock() - late_s, rate_rps=9.0)
        assert desk.ask(request) == first
    assert len(desk.world.policy.seen) == seen
    assert first.next_s == desk.world.clock() + 1.0
    desk.world.clock.now_s += 60.0
    much_later = desk.ask(report(first.time_s))
    assert (much_later.trust, counts(much_later)) == (pb.TRUST_NONE, [])


def test_who_has_most_memories_gives_one_up(desk: Desk) -> None:
    desk.ask_for(9)
    for name in ("one", "two", "three", "four"):
        desk.ask(report(desk.world.clock(), caller=name), identity="eve")
    assert counts(desk.ask_for(1)) == [1, 1]
    policies = desk.policies
    desk.ask(report(desk.world.clock(), caller="one"), identity="eve")
    assert desk.policies == policies + 1


@pytest.mark.parametrize(
    ("without", "estimated", "trust", "counted"),
    [
        (("p50_ms",), [], pb.TRUST_FULL, [1, 1]),
        (("draining",), [], pb.TRUST_FULL, [1, 1]),
        (("starting", "weight"), [], pb.TRUST_FULL, [1, 1]),
        (("in_flight",), ["backends[a].in_flight"], pb.TRUST_UP, [2, 2]),
        (("ready",), ["backends[a].ready"], pb.TRUST_UP, [2, 2]),
        (("wanted",), ["backends[a].wanted"], pb.TRUST_UP, [2, 2]),
        (("rate_rps",), [], pb.TRUST_HOLD, [2, 2]),
    ],
    ids=str,
)
def test_what_is_missing_is_told_and_costs_trust(
    desk: Desk, without: tuple[str, ...], estimated: list[str], trust: int, counted: list[int]
) -> None:
    desk.ask_for(9)
    desk.world.clock.now_s += 1.0
    reply = desk.ask(report(desk.world.clock(), *without))
    paths = [name if name in WHOLE else f"backends[a].{name}" for name in without]
    assert set(paths) <= set(reply.missing)
    assert list(reply.estimated) == estimated
    assert (reply.trust, counts(reply)) == (trust, counted)


def test_what_is_missing_is_never_zero(desk: Desk) -> None:
    desk.ask(report(desk.world.clock(), "rate_rps"))
    (seen,) = desk.world.policy.seen
    assert math.isnan(seen.backends[0].rate_rps.value)
    assert seen.backends[0].in_flight.value == 2.0


def test_what_can_be_told_from_the_rest(desk: Desk) -> None:
    request = report(desk.world.clock(), "rate_rps", "in_flight", "weight", rate_rps=150.0)
    request.backends[1].ClearField("rate_rps")
    desk.ask(request)
    (seen,) = desk.world.policy.seen
    assert [b.rate_rps.value for b in seen.backends] == [75.0, 75.0]
    assert seen.backends[0].in_flight.value == pytest.approx(75.0 * 0.05)
    one = report(desk.world.clock(), "rate_rps", rate_rps=150.0, caller="other")
    assert "backends[a].rate_rps" not in desk.ask(one).missing
    assert desk.world.policy.seen[-1].backends[0].rate_rps.value == 100.0


def described(**changes: Any) -> pb.ServiceDescription:
    backend = pb.BackendDescription(
        name="a", concurrency=4, service_time_s=0.05, startup_mean_s=30, min_replicas=1,
        max_replicas=50,
    )  # fmt: skip
    fields: dict[str, Any] = {
        "slo": pb.Slo(latency_s=0.3, share=0.99),
        "miss_price": 50,
        "tick_s": 15,
        "backends": [backend],
    }
    return pb.ServiceDescription(**fields | changes)


def about(description: pb.ServiceDescription, time_s: float = 0.0) -> pb.RecommendRequest:
    return pb.RecommendRequest(
        service="shop",
        caller="theirs",
        time_s=time_s,
        description=description,
        backends=[pb.BackendReport(name="a", ready=3, in_flight=90.0)],
        rate_rps=400.0,
    )


def test_a_service_that_only_its_caller_knows(desk: Desk) -> None:
    """With the shipped policy: 400 rps on 3 replicas of 80 rps each."""
    bundle = load_bundle()
    desk.recommenders._new_policy = lambda subject: Proposer(
        bundle.fresh(), [subject.profile], [subject.miss_price], subject.limits.interval_s
    )
    now_s = desk.world.clock()
    reply = desk.ask(about(described(), now_s))
    assert reply.trust == pb.TRUST_UP
    assert 3 < counts(reply)[0] <= 3 + 4
    assert list(reply.estimated) == ["backends[a].wanted"]
    assert reply.next_s == now_s // 15 * 15 + 15
    loose = desk.ask(about(described(limits={"up_percent": 1000, "hold_s": 60.5}), now_s))
    assert counts(loose)[0] > counts(reply)[0]
    assert loose.window_s == 60.5


@pytest.mark.parametrize(
    ("changes", "field", "problem"),
    [
        ({"slo": None}, "description", "'slo' is missing: add it here"),
        ({"slo": pb.Slo(latency_s=-1, share=0.9)}, "description.slo.latency_s", "-1 must be more"),
        ({"miss_price": 0}, "description", "'miss_price' is missing"),
        ({"miss_price": 5000}, "description.miss_price", "5000 must be from 1 to 1000"),
        ({"tick_s": math.nan}, "description.tick_s", "'NaN' must be a number"),
        ({"tick_s": 9999}, "description.limits", "interval_s is 9999"),
        ({"backends": []}, "description", "'backends' is missing"),
        ({"limits": {"hold": 1}}, "description.limits.hold", "did you mean 'hold_s'?"),
        ({"limits": {"hold_s": 1e9}}, "description.limits.hold_s", "must be from 0.001 to 3600"),
        ({"backends": [pb.BackendDescription(name="x" * 40_000)]}, "description", "bytes at most"),
    ],
    ids=str,
)
def test_descriptions_that_are_refused(
    desk: Desk, changes: dict[str, Any], field: str, problem: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        desk.ask(about(described(**changes)))
    assert refused.value.field == field
    assert problem in refused.value.problem


def test_reports_that_are_refused(desk: Desk) -> None:
    with pytest.raises(InvalidRequest, match=r"backends\[a\]: needs `wanted` or `ready`"):
        desk.ask(report(0.0, "wanted", "ready"))
    with pytest.raises(InvalidRequest, match="caller: must have at most 100 characters"):
        desk.ask(report(0.0, caller="x" * 101))


def test_a_policy_that_fails_leaves_the_tick_open(desk: Desk) -> None:
    def fail() -> None:
        raise PolicyError("hangs")

    request = report(desk.world.clock())
    desk.world.policy.think = fail
    with pytest.raises(PolicyError):
        desk.ask(request)
    desk.world.policy.think = lambda: None
    assert counts(desk.ask(request)) == [2, 2]


def test_every_answer_is_journalled_once_and_in_order(desk: Desk) -> None:
    desk.ask_for(5)
    desk.ask(report(desk.world.clock()))
    desk.ledger.close()
    entries = desk.world.journal.entries(kinds=("recommend",))
    answers = [answer for entry in entries for answer in entry.body["answers"]]
    times = [answer["state"][1] for answer in answers]
    assert len(times) == 5
    assert times == sorted(times)
    assert {answer["caller"] for answer in answers} == {"hpa"}


numbers = st.floats(width=32) | st.sampled_from([0.0, 0.5, 1.0])
readings = st.dictionaries(st.sampled_from(sorted(READINGS)), numbers)
present = st.dictionaries(st.sampled_from(sorted(COUNTS)), st.integers(0, 9))
wholes = st.dictionaries(st.sampled_from([*sorted(WHOLE), "time_s", "rate_rps"]), numbers)


@given(names=st.sampled_from(["ab", "ba", "a", "abc", "aa"]), data=st.data(), whole=wholes)
def test_what_is_in_order_at_a_glance_is_taken(
    names: str, data: st.DataObject, whole: dict[str, float]
) -> None:
    backends = [
        pb.BackendReport(name=name, **data.draw(readings), **data.draw(present)) for name in names
    ]
    request = pb.RecommendRequest(service="web", backends=backends, **whole)
    if in_order(request, SUBJECT.backends, now_s=10.0):
        assert read(request, SUBJECT, now_s=10.0).state.service == "web"


@given(whole=wholes)
@example(whole={"p95_ms": math.nan})  # which min() and max() pass over
def test_what_is_refused_is_out_of_order_at_a_glance(whole: dict[str, float]) -> None:
    request = report(1.0)
    request.MergeFrom(pb.RecommendRequest(**whole))
    glanced = in_order(request, SUBJECT.backends, now_s=10.0)
    try:
        read(request, SUBJECT, now_s=10.0)
    except InvalidRequest:
        assert not glanced
    else:
        assert glanced


def test_a_bad_report_is_refused_though_its_tick_has_an_answer(desk: Desk) -> None:
    desk.ask_for(1)
    request = report(desk.world.clock())
    request.backends[0].rate_rps = -1.0
    with pytest.raises(InvalidRequest, match=r"backends\[a\]\.rate_rps: -1 must be"):
        desk.ask(request)
