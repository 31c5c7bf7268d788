"""What the fake does when it is told to go wrong: that it really does, and no more than that."""

from __future__ import annotations

from itertools import islice

import pytest
from tests.cluster.client import Refused
from tests.cluster.fake.faults import READS, WRITES, Refusal, Silence
from tests.cluster.fixtures import Cluster
from tests.cluster.objects import lease
from urllib3.exceptions import HTTPError


def holder(fake: Cluster) -> str:
    return str(fake.client.get("Lease", "one")["spec"]["holderIdentity"])


def write(fake: Cluster) -> None:
    fake.client.patch("Lease", "one", {"spec": {"holderIdentity": "b"}})


@pytest.fixture
def held(fake: Cluster) -> Cluster:
    fake.client.create(lease("one", "a"))
    return fake


@pytest.mark.parametrize("code", [401, 403, 404, 409, 410, 422, 429, 500, 504])
def test_a_refused_write_changes_nothing(held: Cluster, code: int) -> None:
    assert held.fake
    with (
        held.fake.fault(Refusal(code), WRITES, times=1) as fault,
        pytest.raises(Refused) as refused,
    ):
        write(held)
    assert (refused.value.code, fault.met, holder(held)) == (code, 1, "a")
    write(held)
    assert holder(held) == "b"


@pytest.mark.parametrize("silence", Silence, ids=lambda silence: silence.name)
def test_a_lost_answer_says_nothing_about_the_write(held: Cluster, silence: Silence) -> None:
    assert held.fake
    held.client.patience_s = 0.2
    with held.fake.fault(silence, WRITES), pytest.raises(HTTPError):
        write(held)
    assert holder(held) == ("b" if silence.done else "a")


def test_a_fault_meets_only_what_it_is_for(held: Cluster) -> None:
    assert held.fake
    with (
        held.fake.fault(Refusal(500), WRITES),
        held.fake.fault(Refusal(500), plural="pods"),
        held.fake.fault(Refusal(500), plural="leases", name="two"),
    ):
        assert holder(held) == "a"
    with held.fake.fault(Refusal(500), READS, times=2):
        for _ in range(2):
            with pytest.raises(Refused):
                holder(held)
        assert holder(held) == "a"


def test_a_retry_is_asked_for_later(held: Cluster) -> None:
    assert held.fake
    with held.fake.fault(Refusal(429, retry_after_s=7)), pytest.raises(Refused) as refused:
        holder(held)
    assert refused.value.body["details"]["retryAfterSeconds"] == 7


def test_a_restart_forgets_nothing(held: Cluster) -> None:
    assert held.fake
    held.fake.stop()
    with pytest.raises(HTTPError):
        holder(held)
    held.fake.start()
    assert holder(held) == "a"


def test_a_revoked_token_opens_nothing(held: Cluster) -> None:
    assert held.fake
    held.fake.revoke()
    with pytest.raises(Refused, match="401"):
        holder(held)
    held.fake.admit()
    assert holder(held) == "a"


def test_a_watch_that_comes_too_late_is_told_so(held: Cluster) -> None:
    assert held.fake
    since = held.client.get("Lease", "one")["metadata"]["resourceVersion"]
    write(held)
    held.fake.compact()
    write_again = {"spec": {"holderIdentity": "c"}}
    held.client.patch("Lease", "one", write_again)
    events = list(held.client.watch("Lease", since, for_s=1))
    assert [(e["type"], e["object"]["code"]) for e in events] == [("ERROR", 410)]


def test_a_half_open_watch_says_nothing_more(held: Cluster) -> None:
    assert held.fake
    held.client.patience_s = 0.5
    events = held.client.watch("Lease", "0")
    assert next(events)["type"] == "ADDED"
    held.fake.stall_watches()
    write(held)
    with pytest.raises(HTTPError):
        next(events)


def test_a_watch_is_cut(held: Cluster) -> None:
    assert held.fake
    events = held.client.watch("Lease", "0")
    next(events)
    held.fake.cut_watches()
    with pytest.raises(HTTPError):
        next(events)


def test_bookmarks_come_to_those_who_ask(held: Cluster) -> None:
    assert held.fake
    held.fake.bookmark_s = 0.1
    events = held.client.watch("Lease", "0", allowWatchBookmarks="true")
    seen = list(islice(events, 2))
    assert [event["type"] for event in seen] == ["ADDED", "BOOKMARK"]


def test_every_call_is_written_down(held: Cluster) -> None:
    assert held.fake
    held.fake.seen.clear()
    write(held)
    holder(held)
    with held.fake.fault(Refusal(500)), pytest.raises(Refused):
        holder(held)
    calls = [(seen.call.verb, seen.call.name, seen.code) for seen in held.fake.seen]
    assert calls == [("patch", "one", 200), ("get", "one", 200), ("get", "one", 500)]


def test_the_rest_of_a_list_expires(held: Cluster) -> None:
    assert held.fake
    held.client.create(lease("two", "a"))
    path = f"/apis/coordination.k8s.io/v1/namespaces/{held.namespace}/leases"
    token = held.client.call("GET", path, limit="1")["metadata"]["continue"]
    held.client.create(lease("three", "a"))
    held.fake.compact()
    with pytest.raises(Refused, match="410"):
        held.client.call("GET", path, query={"continue": token})
