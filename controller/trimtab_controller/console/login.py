"""The way in and out: a plain form without any script, and the cookie that it earns."""

from __future__ import annotations

from html import escape
from http import HTTPStatus
from importlib.resources import files

import grpc
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from trimtab_controller.console.feed import Feeds
from trimtab_controller.console.neighbours import is_ours
from trimtab_controller.console.sessions import SESSION_S, Session, Sessions

FORM = (files("trimtab_controller.console") / "static" / "login.html").read_text()
COOKIE = "trimtab"
PASTE = "Paste the token that you were given, and sign in."
OPEN_TO_ALL = (
    "This daemon asks nobody for a token, so this console must not be reached from elsewhere: "
    "give the daemon `security: tokens` in trimtab.yaml, or let the console listen on 127.0.0.1."
)
NOT_YOURS = (
    "This console belongs to another user of this machine. With a token of the daemon, sign in."
)
NO_TOKENS = "This daemon asks nobody for a token, and so this console is only its own user's."
AWAY = "The daemon does not answer. This page tries again by itself."
RETRY = '<meta http-equiv="refresh" content="3">'
Code = grpc.StatusCode


class Lobby:
    """Lets people in and out. ``strict``: only with a token that the daemon asked for."""

    def __init__(self, sessions: Sessions, feeds: Feeds, *, tls: bool, strict: bool) -> None:
        self.sessions = sessions
        self.feeds = feeds
        self._tls = tls
        self._strict = strict

    def who(self, request: Request) -> Session | None:
        """Whose page it is; ``None``: they must log in."""
        return self.sessions.find(request.cookies.get(COOKIE))

    async def arrive(self, request: Request) -> Response:
        """The form, or straight in where the daemon asks for no token and the user is ours."""
        if self._strict:
            return form(PASTE)
        client, server = request.scope["client"], request.scope["server"]
        if not is_ours(tuple(client), tuple(server)):
            return form(NOT_YOURS, HTTPStatus.FORBIDDEN)
        return await self._enter("")

    async def log_in(self, request: Request) -> Response:
        """Try the token that was sent."""
        sent = (await request.form(max_files=0)).get("token", "")
        token = sent.strip() if isinstance(sent, str) else ""
        if not token or not token.isascii() or not token.isprintable():
            return form(PASTE, HTTPStatus.UNAUTHORIZED)
        return await self._enter(token)

    def log_out(self, request: Request) -> Response:
        """End the session."""
        self.sessions.end(request.cookies.get(COOKIE, ""))
        self.feeds.keep(self.sessions.tokens())
        gone = RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        gone.delete_cookie(COOKIE)
        return gone

    async def _enter(self, token: str) -> Response:
        try:
            me = await self.feeds.voice(token).who_am_i()
        except grpc.aio.AioRpcError as error:
            return refused(error, token)
        if token and not me.name:
            return form(OPEN_TO_ALL if self._strict else NO_TOKENS, HTTPStatus.FORBIDDEN)
        session = self.sessions.begin(token, me)
        self.feeds.keep(self.sessions.tokens())
        entered = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        # Lax, for a link in an alert must not ask somebody to log in who is: nothing is changed by
        # GET, and `doors` refuses all else that comes from another site.
        entered.set_cookie(
            COOKIE, session.id, int(SESSION_S), httponly=True, samesite="lax", secure=self._tls
        )
        return entered


def refused(error: grpc.aio.AioRpcError, token: str) -> Response:
    """What the daemon's answer means for somebody at the door."""
    if error.code() in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED):
        if not token:
            return form(PASTE)
        return form(f"The daemon says: {error.details()}.", HTTPStatus.UNAUTHORIZED)
    if error.code() in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED):
        return form(AWAY, HTTPStatus.SERVICE_UNAVAILABLE, RETRY)
    return form(f"The daemon says: {error.details()}.", HTTPStatus.BAD_GATEWAY)


def form(said: str, status: HTTPStatus = HTTPStatus.OK, head: str = "") -> Response:
    """The form, with what there is to say."""
    page = FORM.replace("{head}", head).replace("{said}", escape(said))
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})
