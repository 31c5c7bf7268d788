"""What every request passes on its way in and every answer on its way out.

In: the page must have been asked for by one of its own names, and whatever changes something must
come from the page itself, so that another site's page can neither command nor, by a name that it
points at this machine, read. Out: a content security policy that lets run what the page came with,
and nothing else: scripts and style sheets carry a nonce, and nothing may be evaluated.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# NiceGUI's page has one style attribute, `display: none`; the hash allows it and no other.
HIDDEN = "'sha256-ZdHxw9eWtnxUb3mk6tBS+gIiVUPE3pGM470keHPDFlE='"
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self' 'nonce-{nonce}'; "
    f"style-src-attr 'unsafe-hashes' {HIDDEN}; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all, a form would not say where it is from
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
HSTS = "max-age=31536000"
# What there is; all else would be NiceGUI's pages for errors, which need more than the policy.
PATHS = re.compile(r"/|/login|/logout|/static/[\w.-]+|/favicon\.ico|/_nicegui/.+|/_nicegui_ws/.*")
SOCKET = "/_nicegui_ws/"
# A token has some 80 characters.
LONGEST_BODY = 1000
LOCAL_NAMES = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d+)?")
# Only tags of the page's template are found: in what it shows, `<` is written `&lt;`.
INLINE = re.compile(rb"<(script|style)\b")


class Doors:
    """Middleware around ``app``. ``tls``: the page is at https, and may have any name."""

    def __init__(
        self, app: ASGIApp, tls: bool, nonce: Callable[[], str] = lambda: secrets.token_urlsafe(16)
    ) -> None:
        self.app = app
        self._tls = tls
        self._nonce = nonce

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or web socket."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif status := self._refusal(scope):
            await _refuse(scope, send, status)
        elif scope["type"] == "http":
            await self.app(scope, receive, Out(send, self._nonce(), self._tls))
        else:
            await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> HTTPStatus | None:
        headers, socket = Headers(scope=scope), scope["type"] == "websocket"
        host = headers.get("host", "")
        if not self._tls and not LOCAL_NAMES.fullmatch(host):
            return HTTPStatus.MISDIRECTED_REQUEST
        changes = socket or scope["method"] not in ("GET", "HEAD")
        scheme = "https" if self._tls else "http"
        if changes and headers.get("origin") != f"{scheme}://{host}":
            return HTTPStatus.FORBIDDEN
        if not PATHS.fullmatch(scope["path"]) or (scope["path"].startswith(SOCKET) and not socket):
            return HTTPStatus.NOT_FOUND
        length = headers.get("content-length", "")
        if changes and not socket and not (length.isdecimal() and int(length) <= LONGEST_BODY):
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        return None


class Out:
    """Sends an answer with the headers, and with the nonce in it where it is a page."""

    def __init__(self, send: Send, nonce: str, tls: bool) -> None:
        self._send = send
        self._nonce = nonce
        self._tls = tls
        self._page = False

    async def __call__(self, message: Message) -> None:
        """Pass on the head or a part of the body."""
        if message["type"] == "http.response.start":
            self._head(message)
        elif self._page:
            tag = rf'<\1 nonce="{self._nonce}"'.encode()
            message["body"] = INLINE.sub(tag, message.get("body", b""))
        await self._send(message)

    def _head(self, message: Message) -> None:
        headers = MutableHeaders(raw=message["headers"])
        self._page = headers.get("content-type", "").startswith("text/html")
        if self._page:
            del headers["content-length"]  # the nonces make it longer
        headers["Content-Security-Policy"] = POLICY.format(nonce=self._nonce)
        for name, value in HEADERS.items():
            headers[name] = value
        if self._tls:
            headers["Strict-Transport-Security"] = HSTS


async def _refuse(scope: Scope, send: Send, status: HTTPStatus) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    plain: list[tuple[bytes, bytes]] = [(b"content-type", b"text/plain")]
    start: dict[str, Any] = {"type": "http.response.start", "status": status, "headers": plain}
    await send(start)
    await send({"type": "http.response.body", "body": f"{status.phrase}\n".encode()})
