"""Who is in, for how long, and which buttons they are shown."""

from __future__ import annotations

from itertools import count

import pytest

from trimtab_controller.console.sessions import MOST, SESSION_S, Session, Sessions
from trimtab_controller.security.roles import Role
from trimtab_proto.v1 import controller_pb2 as pb

START_S = 1_800_000_000.0


class Clock:
    now_s = START_S

    def __call__(self) -> float:
        return self.now_s


def me(role: Role, *services: str) -> pb.WhoAmIReply:
    return pb.WhoAmIReply(name="ann", role=str(role), services=services)


def session(role: Role, *services: str) -> Session:
    return Sessions(Clock()).begin("token", me(role, *services))


REQUESTS = {
    "Stop": pb.StopRequest(),
    "Abort": pb.AbortRequest(),
    "Resume": pb.ResumeRequest(),
    "Approve": pb.ApproveRequest(id="7"),
    "Reject": pb.RejectRequest(id="7"),
    "SetMode": pb.SetModeRequest(service="web", mode=pb.MODE_GUARDED),
    "Renew": pb.RenewRequest(service="web"),
}


@pytest.mark.parametrize(
    ("who", "may"),
    [
        (session(Role.VIEWER), set()),
        (session(Role.OPERATOR), {"Stop", "Abort", "Reject"}),
        (session(Role.APPROVER), {"Stop", "Abort", "Reject", "Approve", "Renew"}),
        (session(Role.ADMIN), set(REQUESTS)),
        (session(Role.ADMIN, "web"), {"Stop", "Approve", "Reject", "SetMode", "Renew"}),
        (session(Role.ADMIN, "api"), {"Stop"}),
    ],
    ids=["viewer", "operator", "approver", "admin", "admin of web", "admin of another"],
)
def test_buttons_promise_what_the_gate_would_grant(who: Session, may: set[str]) -> None:
    allowed = {
        name for name, request in REQUESTS.items() if who.may(name, request, lambda _: "web")
    }
    assert allowed == may


def test_a_session_ends_with_the_shift_with_a_goodbye_or_not_at_all() -> None:
    clock = Clock()
    sessions = Sessions(clock)
    first, second = (sessions.begin(token, me(Role.VIEWER)) for token in ("one", "two"))
    assert first.id != second.id
    assert sessions.find(first.id) is first
    assert sessions.tokens() == {"one", "two"}
    sessions.end(first.id)
    assert sessions.find(first.id) is None
    clock.now_s += SESSION_S - 1.0
    assert sessions.find(second.id) is second
    clock.now_s += 1.0
    assert sessions.find(second.id) is None
    assert sessions.tokens() == set()


@pytest.mark.parametrize("cookie", [None, "", "guess"])
def test_nobody_is_let_in_by_a_guess(cookie: str | None) -> None:
    sessions = Sessions(Clock())
    sessions.begin("token", me(Role.ADMIN))
    assert sessions.find(cookie) is None


def test_a_program_that_logs_in_again_and_again_only_ends_its_own() -> None:
    numbers = count()
    sessions = Sessions(Clock(), lambda: str(next(numbers)))
    for _ in range(MOST + 1):
        last = sessions.begin("", me(Role.ADMIN))
    assert sessions.find("0") is None
    assert sessions.find("1")
    assert sessions.find(last.id) is last


def test_no_secret_is_in_its_words() -> None:
    assert "secret" not in repr(
        Sessions(Clock(), lambda: "secret-id").begin("secret-token", me(Role.VIEWER))
    )
