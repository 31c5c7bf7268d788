"""The API server in raw JSON: the one place that touches the client library.

The library finds the server, the credentials and the certificates as `kubectl` does. Its typed
models are left aside: trimtab reads few fields, of kinds that no client knows beforehand. Most of
its functions have no types, hence the ignores.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from math import ceil
from pathlib import Path
from typing import Any

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.utils import retry_after_seconds

from trimtab_controller.kubernetes.faults import ApiError, Fault, answered
from trimtab_controller.protocols import WRITER
from trimtab_sim.schema import ConfigError

Json = Mapping[str, Any]

JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

CUT = aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, ConnectionError

# One watch per kind and namespace, and calls beside them.
CONNECTIONS = 10_000
CONNECT_S = 3.0
KUBE_CONFIG = "~/.kube/config"
# How long the server may work at a call, and how long its answer is waited for.
CALL_S = 2.0
ANSWER_S = 2.5
# A list may be long, and is in nobody's way.
LIST_S = 30.0
# New credentials are looked for no more often than this.
RENEWAL_S = 30.0


class Api:
    """Calls to one API server; all in one event loop."""

    def __init__(self, context: str = "") -> None:
        self._context = context
        self._client: ApiClient | None = None
        self._renewed_s = 0.0
        self._quiet_until_s, self._quiet_fault, self._quiet_why = 0.0, Fault.THROTTLED, ""

    async def connect(self) -> None:
        """Find server and credentials; `ConfigError` says where they were looked for."""
        found = Configuration()
        try:
            await _load(found, self._context)
        except Exception as error:  # whatever is in that file
            raise ConfigError(
                f"kubernetes: no API server: {error}: set KUBECONFIG, or kubernetes.context to "
                "one of `kubectl config get-contexts`"
            ) from error
        found.connection_pool_maxsize = CONNECTIONS
        self._client, old = ApiClient(found), self._client
        self._client.user_agent = WRITER
        if old:
            await old.close()  # type: ignore[no-untyped-call]

    @property
    def host(self) -> str:
        """The server's URL, once it is known."""
        return str(self._client.configuration.host) if self._client else ""

    async def close(self) -> None:
        """End all connections."""
        if self._client:
            await self._client.close()  # type: ignore[no-untyped-call]

    async def get(self, path: str, within_s: float = ANSWER_S, **query: object) -> Any:
        """What is at ``path``; raises `ApiError`."""
        async with self._call("GET", path, query, within_s=within_s) as answer:
            return await _document(answer)

    async def write(self, method: str, path: str, body: object, kind: str, **query: object) -> Any:
        """Change what is at ``path`` and return what is there then; raises `ApiError`."""
        # The server gives up first: what was not answered will not happen much later.
        query |= {"fieldManager": WRITER, "timeout": f"{CALL_S:g}s"}
        async with self._call(method, path, query, body, kind) as answer:
            return await _document(answer)

    async def watch(self, path: str, for_s: int, **query: object) -> AsyncGenerator[Json, None]:
        """The events from ``path``, for ``for_s`` seconds; silence beyond that is `ApiError`."""
        query |= {"watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": for_s}
        async with self._call("GET", path, query, within_s=for_s + ANSWER_S) as answer:
            async for line in answer.content:
                yield _event(line, path)

    @asynccontextmanager
    async def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: object = None,
        kind: str = JSON,
        within_s: float = ANSWER_S,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """An answer that is not an error; everything else is an `ApiError`."""
        call = f"{method} {path}"
        self._respect_quiet(call)
        timeout = aiohttp.ClientTimeout(total=within_s, sock_connect=CONNECT_S)
        try:
            answer = await self._send(method, path, query, body, kind, timeout)
            async with answer:
                if answer.status >= 400:
                    raise await self._refused(answer, call)
                yield answer
        except aiohttp.ClientSSLError as error:
            raise ApiError(Fault.UNREACHABLE, f"{call}: {error}") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            message = f"{call}: no connection to {self.host}"
            raise ApiError(Fault.UNREACHABLE, message) from error
        except TimeoutError as error:
            if within_s == ANSWER_S:
                # Many services may have something to write: not each shall wait for as long.
                self._be_quiet(Fault.TIMEOUT, "the server does not answer", CALL_S)
            message = f"{call}: no answer within {within_s:g} s"
            raise ApiError(Fault.TIMEOUT, message, certain=False) from error
        except CUT as error:
            message = f"{call}: the connection was cut"
            raise ApiError(Fault.UNREACHABLE, message, certain=False) from error
        except (aiohttp.ClientError, OSError, ValueError, LookupError, TypeError) as error:
            raise ApiError(Fault.UNREACHABLE, f"{call}: {error!r}", certain=False) from error

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, object],
        body: object,
        kind: str,
        timeout: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        if not self._client:
            await self.connect()
        assert self._client  # noqa: S101  # for mypy: `connect` has set it
        request = await self._client.param_serialize(
            method,
            path,
            query_params=[*query.items()],
            header_params={"Accept": JSON, "Content-Type": kind},
            body=body,
            auth_settings=["BearerToken"],
        )
        answer = await self._client.call_api(*request, _request_timeout=timeout)
        return answer.response  # type: ignore[no-any-return]  # the library has no types here

    async def _refused(self, answer: aiohttp.ClientResponse, call: str) -> ApiError:
        error = answered(answer.status, await answer.read(), answer.headers, call)
        if error.fault is Fault.UNAUTHORIZED:
            await self._renew()
        wait_s = retry_after_seconds(error)
        if wait_s and answer.status in (429, 503):
            self._be_quiet(Fault.THROTTLED, "the server asked to wait", wait_s)
        return error

    def _respect_quiet(self, call: str) -> None:
        """The server asked somebody to wait, or left them waiting: the others wait, too."""
        wait_s = self._quiet_until_s - time.monotonic()
        if wait_s > 0:
            message = f"{call}: not sent, {self._quiet_why}: {wait_s:.1f} s more"
            headers = {"Retry-After": str(ceil(wait_s))}
            raise ApiError(self._quiet_fault, message, headers=headers)

    def _be_quiet(self, fault: Fault, why: str, for_s: float) -> None:
        until_s = time.monotonic() + for_s
        if until_s > self._quiet_until_s:
            self._quiet_until_s, self._quiet_fault, self._quiet_why = until_s, fault, why

    async def _renew(self) -> None:
        """Credentials end and are replaced: look for new ones, now and then."""
        if time.monotonic() - self._renewed_s > RENEWAL_S:
            self._renewed_s = time.monotonic()
            with suppress(ConfigError):
                await self.connect()


async def _load(found: Configuration, context: str) -> None:
    """Fill in server and credentials: of the pod that this runs in, or of the kubeconfig."""
    if "KUBERNETES_SERVICE_HOST" in os.environ and not context:
        config.load_incluster_config(found)  # type: ignore[no-untyped-call]
        return
    # Read now: the library's own default is what the environment was at its import.
    files = os.environ.get("KUBECONFIG") or KUBE_CONFIG
    if not any(Path(file).expanduser().is_file() for file in files.split(os.pathsep)):
        raise FileNotFoundError(f"there is no file {files}")
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        files, context or None, found, persist_config=False
    )


async def _document(answer: aiohttp.ClientResponse) -> Any:
    """The whole answer; garbage is a `ValueError`."""
    return json.loads(await answer.read())


def _event(line: bytes, path: str) -> Json:
    """One event of a watch; an error in it is raised as the `ApiError` it stands for."""
    event: Json = json.loads(line)
    if event["type"] == "ERROR":
        status = event["object"]
        raise answered(status.get("code", 500), json.dumps(status).encode(), {}, f"WATCH {path}")
    return event
