"""Who is logged in: tokens stay in this process, and a browser only holds a random name for one.

A session ends after a shift, when its person signs out, or when the daemon knows the token no more.
Nothing is written to a disk: a restart signs everybody out.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from trimtab_controller.protocols import Clock
from trimtab_controller.security.callers import Caller, Denied, permit
from trimtab_controller.security.roles import CONTROLLER, RULES, Envelopes, Role
from trimtab_proto.v1 import controller_pb2 as pb

SESSION_S = 8 * 3600.0
# More than people have browsers: a program on this machine must not fill the memory with them.
MOST = 1000


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody at a browser; ``token`` and name are empty where the daemon asks for none."""

    id: str = field(repr=False)
    token: str = field(repr=False)
    caller: Caller
    until_s: float

    def may(self, method: str, request: object, envelopes: Envelopes) -> bool:
        """Whether the daemon would let them: by its own table, so that no button promises more."""
        rule = RULES[f"{CONTROLLER}{method}"]
        try:
            permit(self.caller, rule, request, rule.subject(request, envelopes))
        except Denied:
            return False
        return True


class Sessions:
    """All sessions that have not ended."""

    def __init__(
        self, clock: Clock, entropy: Callable[[], str] = lambda: secrets.token_urlsafe(32)
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._open: dict[str, Session] = {}

    def begin(self, token: str, me: pb.WhoAmIReply) -> Session:
        """Let in whoever the daemon says it is."""
        caller = Caller(me.name, "token", Role[me.role.upper()], tuple(me.services))
        begun = Session(self._entropy(), token, caller, self._clock() + SESSION_S)
        self._open[begun.id] = begun
        if len(self._open) > MOST:
            self.end(next(iter(self._open)))
        return begun

    def find(self, session_id: str | None) -> Session | None:
        """The session of that name, unless it has ended."""
        found = self._open.get(session_id or "")
        return found if found and self._clock() < found.until_s else None

    def end(self, session_id: str) -> None:
        """Sign somebody out."""
        self._open.pop(session_id, None)

    def tokens(self) -> set[str]:
        """Those that are in use; sessions that have ended are forgotten."""
        now_s = self._clock()
        self._open = {key: each for key, each in self._open.items() if now_s < each.until_s}
        return {each.token for each in self._open.values()}
