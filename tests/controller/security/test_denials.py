"""Every denied call is in the journal, and no number of them fills it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab_controller.journal import Journal, JournalError, read
from trimtab_controller.security.denials import KINDS, OTHERS, Denial, Denials
from trimtab_controller.security.roles import Role
from trimtab_proto.v1 import controller_pb2 as pb

House = Any  # the class in conftest.py, which cannot be imported from here
HOUR_S = 3600.0


def denial(caller: str = "eve", service: str = "web") -> Denial:
    return Denial(caller, "ipv4:10.0.0.1", "/trimtab.v1.Controller/Stop", service, "because")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.db") as journal:
        yield journal


def written(journal: Journal) -> list[dict[str, Any]]:
    return [entry.body for entry in journal.entries(kinds=("denied",))]


def test_it_is_written_at_once_and_says_whose_and_what(house: House) -> None:
    token = house.token("ann", Role.VIEWER)
    house.serve()
    with pytest.raises(grpc.RpcError):
        house.stub(token).SetMode(pb.SetModeRequest(service="web", mode=2), timeout=5.0)
    (body,) = house.denials()
    # Reached as `localhost`, by either protocol.
    assert body.pop("peer") in ("ipv4:127.0.0.1", "ipv6:%5B::1%5D")
    assert body == {
        "caller": "ann",
        "method": "/trimtab.v1.Controller/SetMode",
        "service": "web",
        "reason": "ann is viewer, and this needs admin",
        "times": 1,
    }


def test_a_flood_is_two_records(journal: Journal) -> None:
    denials = Denials(journal, lambda: 0.0, HOUR_S)
    for _ in range(1000):
        denials.add(denial())
    assert [body["times"] for body in written(journal)] == [1]
    denials.close()
    assert [body["times"] for body in written(journal)] == [1, 999]
    denials.add(denial())
    denials.close()
    assert [body["times"] for body in written(journal)] == [1, 999, 1]


@settings(max_examples=20)
@given(st.lists(st.integers(0, 2 * KINDS), max_size=300))
def test_none_is_lost_and_the_records_are_few(
    tmp_path_factory: pytest.TempPathFactory, services: list[int]
) -> None:
    file = tmp_path_factory.mktemp("denials") / "journal.db"
    with Journal.open(file) as journal:
        denials = Denials(journal, lambda: 0.0, HOUR_S)
        for service in services:
            denials.add(denial(service=str(service)))
        denials.close()
    bodies = [entry.body for entry in read(file)]
    assert sum(body["times"] for body in bodies) == len(services)
    assert len(bodies) <= 2 * KINDS + 1
    others = [body for body in bodies if body["reason"] == OTHERS.reason]
    assert bool(others) == (len(set(services)) > KINDS)


def test_what_was_only_counted_is_written_after_the_window(journal: Journal) -> None:
    denials = Denials(journal, lambda: 0.0, window_s=0.05)
    denials.add(denial())
    denials.add(denial())
    while len(written(journal)) < 2:
        pass
    assert written(journal)[1] == asdict(denial()) | {"times": 1}


def test_a_long_name_is_cut(house: House) -> None:
    token = house.token("ann", Role.ADMIN, "web")
    house.serve()
    with pytest.raises(grpc.RpcError):
        house.stub(token).Renew(pb.RenewRequest(service="x" * 1000), timeout=5.0)
    assert len(house.denials()[0]["service"]) < 100


def test_a_journal_that_cannot_be_written_to_makes_nothing_allowed(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> int:
        raise JournalError("the disk is full")

    house.serve()
    with monkeypatch.context() as patched:
        patched.setattr(house.world.journal, "append", full)
        with pytest.raises(grpc.RpcError) as refused:
            house.stub().Stop(pb.StopRequest(), timeout=5.0)
    assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert not house.world.mandate.stopped
    assert "a denied call was not recorded" in caplog.text
