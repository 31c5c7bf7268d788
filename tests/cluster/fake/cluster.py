"""The fake in a thread of its own, with what a test may do to it."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

import trustme
import yaml
from aiohttp import web
from tests.cluster.fake.access import ADMIN
from tests.cluster.fake.api import Api
from tests.cluster.fake.faults import READS, WRITES, Fault, Trouble
from tests.cluster.fake.server import Seen, Server

TOKEN = "admin"  # noqa: S105  # opens nothing but this fake
PATIENCE_S = 30.0
# Whoever still waits for an answer then is cut off; 0 would be for ever.
END_S = 0.01

T = TypeVar("T")


class FakeCluster:
    """An API server at ``url``. All its methods may be called from any thread."""

    def __init__(self, bookmark_s: float = 5.0) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake", daemon=True)
        self._thread.start()
        self._server = Server(TOKEN, bookmark_s)
        self._authority = trustme.CA()
        self._port = 0
        self._runner: web.AppRunner | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def seen(self) -> list[Seen]:
        """All calls so far, oldest first; clear it to count from now."""
        return self._server.seen

    @property
    def bookmark_s(self) -> float:
        """How long a watch is idle until it is told the version that it has seen."""
        return self._server.bookmark_s

    @bookmark_s.setter
    def bookmark_s(self, every_s: float) -> None:
        self._server.bookmark_s = every_s

    def kubeconfig(self, path: Path, token: str = TOKEN, namespace: str = "default") -> Path:
        """Write a kubeconfig for it."""
        named = {"name": "fake"}
        authority = base64.b64encode(self._authority.cert_pem.bytes()).decode()
        cluster = {"server": self.url, "certificate-authority-data": authority}
        context = {"cluster": "fake", "user": "fake", "namespace": namespace}
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{**named, "cluster": cluster}],
            "users": [{**named, "user": {"token": token}}],
            "contexts": [{**named, "context": context}],
            "current-context": "fake",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def start(self) -> None:
        """Listen; after a `stop` at the same port, and with everything that it knew."""
        self._run(self._start())

    def stop(self) -> None:
        """Cut all connections and refuse new ones."""
        self._run(self._stop())

    def close(self) -> None:
        """End it for good."""
        if self._runner:
            self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_S)
        self._loop.close()

    def fault(
        self,
        trouble: Trouble,
        verbs: frozenset[str] = READS | WRITES,
        plural: str = "",
        name: str = "",
        agent: str = "",
        times: int = 1_000_000_000,
    ) -> AbstractContextManager[Fault]:
        """Inside the ``with`` every call that matches meets ``trouble``, ``times`` at most."""
        return self._server.faults.present(Fault(trouble, verbs, plural, name, agent, times))

    def bookmark(self) -> None:
        """Tell all present watches at once that they have seen everything."""
        self.inside(lambda api: api.store.bookmark())

    def stall_watches(self) -> None:
        """Half-open: all present watches stay open and say nothing more."""
        self.inside(lambda _: self._server.stall_watches())

    def cut_watches(self) -> None:
        """All present watches lose their connection."""
        self.inside(lambda _: self._server.cut_watches())

    def compact(self) -> None:
        """Forget all past changes: whoever resumes a watch from before gets a 410."""
        self.inside(lambda api: api.store.compact())

    def revoke(self, token: str = TOKEN) -> None:
        """From now on its bearer is answered 401."""
        self.inside(lambda _: self._server.access.users.pop(token, None))

    def admit(self, token: str = TOKEN) -> None:
        """Let its bearer in, as an administrator."""
        self.inside(lambda _: self._server.access.users.update({token: ADMIN}))

    async def _start(self) -> None:
        self._runner = web.AppRunner(
            self._server.application(),
            handler_cancellation=True,
            shutdown_timeout=END_S,
            access_log=None,
        )
        await self._runner.setup()
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        # kubectl sends no token without TLS.
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._authority.issue_cert("127.0.0.1").configure_cert(tls)
        await web.SockSite(self._runner, listener, ssl_context=tls).start()

    async def _stop(self) -> None:
        if self._runner:
            await self._runner.cleanup()
            self._runner = None

    def inside(self, act: Callable[[Api], T]) -> T:
        """Run ``act`` in the fake's own thread, past HTTP, for what must be fast or at once."""

        async def acted() -> T:
            return act(self._server.api)

        return self._run(acted())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_S)
