"""Puts the console together: one channel to the daemon, the doors, the way in, the page."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

import grpc
import uvicorn
from fastapi import FastAPI
from nicegui import Client, core, ui
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from trimtab_controller.console.desk import Desk
from trimtab_controller.console.doors import Doors
from trimtab_controller.console.feed import Feeds
from trimtab_controller.console.login import Lobby
from trimtab_controller.console.page import Page
from trimtab_controller.console.sessions import Sessions

STATIC = Path(str(files("trimtab_controller.console") / "static"))
SHEET = '<link rel="stylesheet" href="/static/console.css">'
# How long a phone may be out of reach before its page begins anew.
RECONNECT_S = 30.0
END_S = 3


@dataclass(frozen=True, slots=True)
class Listening:
    """Where the console listens, and the PEM files of its own TLS, both or neither.

    ``strict``: nobody enters without a token that the daemon asked for.
    """

    host: str
    port: int
    certificate: Path | None
    key: Path | None
    strict: bool

    @property
    def url(self) -> str:
        """What to open in a browser."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.certificate else ''}://{host}:{self.port}"


def serve(
    listening: Listening, connect: Callable[[], grpc.aio.Channel], show: Callable[[str], object]
) -> None:
    """Serve until SIGTERM or Ctrl-C, and ``show`` where.

    ``connect`` opens the channel to the daemon, in the server's loop.
    """
    doors = Doors(_site(listening, connect, show), tls=listening.certificate is not None)
    uvicorn.run(
        # Outside of the doors: a page must have its nonces before it is compressed.
        GZipMiddleware(doors), host=listening.host, port=listening.port,
        ssl_certfile=listening.certificate, ssl_keyfile=listening.key, ws="wsproto",
        log_level="warning", server_header=False, timeout_graceful_shutdown=END_S,
    )  # fmt: skip


def _site(
    listening: Listening, connect: Callable[[], grpc.aio.Channel], show: Callable[[str], object]
) -> FastAPI:
    sessions = Sessions(time.time)

    @asynccontextmanager
    async def life(site: FastAPI) -> AsyncIterator[None]:
        async with connect() as channel:
            feeds = Feeds(channel, time.time)
            tls = listening.certificate is not None
            site.state.lobby = Lobby(sessions, feeds, tls=tls, strict=listening.strict)
            if not listening.strict:
                feeds.of("")  # so that charts know the past when the first page is opened
            show(listening.url)
            yield
            feeds.keep(set())

    site = FastAPI(lifespan=life, openapi_url=None)
    site.mount("/static", StaticFiles(directory=STATIC))

    def lobby() -> Lobby:
        there: Lobby = site.state.lobby
        return there

    @site.get("/login")
    async def arrive(request: Request) -> Response:
        return await lobby().arrive(request)

    @site.post("/login")
    async def log_in(request: Request) -> Response:
        return await lobby().log_in(request)

    @site.post("/logout")
    async def log_out(request: Request) -> Response:
        return lobby().log_out(request)

    @ui.page("/", title="trimtab", favicon=STATIC / "icon.svg")
    def page(request: Request, client: Client) -> Response | None:
        session = lobby().who(request)
        if session is None:
            return RedirectResponse("/login", HTTPStatus.SEE_OTHER)
        Page(Desk(sessions, lobby().feeds, session, time.time), client)
        return None

    ui.add_head_html(SHEET, shared=True)
    core.app.config.socket_io_js_transports = ["websocket"]
    ui.run_with(
        site, dark=None, language="en-US", tailwind=False, show_welcome_message=False,
        reconnect_timeout=RECONNECT_S, gzip_middleware_factory=None,
    )  # fmt: skip
    return site
