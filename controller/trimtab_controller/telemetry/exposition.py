"""Serves ``/metrics`` over HTTP, to those who may look, in threads of its own."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Iterable
from socket import socket
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry, make_wsgi_app

from trimtab_controller.security.addresses import UNIX, AddressError, check_address
from trimtab_controller.security.callers import Callers, Denied, Forbidden, Unidentified
from trimtab_controller.security.denials import Denial, Denials
from trimtab_controller.security.entrance import Entrance
from trimtab_controller.security.roles import EVERY
from trimtab_controller.security.spec import SecuritySpec, TlsSpec

log = logging.getLogger(__name__)

PATH = "/metrics"
# Whoever connects must ask, and take the answer, within this time.
PATIENCE_S = 10.0
# At once: scrapers are few, and each one takes a thread.
CONNECTIONS = 32


class Exposition:
    """Serves a registry at ``address`` until it is closed; the API's rules hold here, too.

    Nothing but this machine without TLS and authentication, and where callers must say who they
    are they do so with a token: any role may look, at all services or none.
    """

    def __init__(self, registry: CollectorRegistry, address: str, entrance: Entrance) -> None:
        """`AddressError` when it must not or cannot listen there."""
        spec = entrance.spec
        _check_listen(address, spec)
        app: WSGIApplication = _only(PATH, make_wsgi_app(registry))
        if entrance.callers:
            app = _guarded(app, entrance.callers, entrance.denials)
        host, _, port = address.rpartition(":")
        try:
            self._server = make_server(host.strip("[]"), int(port), app, _Server, _Handler)
        except OSError as error:
            raise AddressError(
                f"metrics.listen: {address}: {error.strerror}: choose another in trimtab.yaml"
            ) from error
        self._server.tls = spec.tls
        self.address = f"{host}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def close(self) -> None:
        """Take no more requests."""
        self._server.shutdown()
        self._server.server_close()


def _check_listen(address: str, spec: SecuritySpec) -> None:
    try:
        if address.startswith(UNIX):
            raise AddressError(f"{address}: Prometheus needs HOST:PORT")
        check_address(address, spec)
        if spec.authenticates and not spec.tokens:
            raise AddressError(f"{address}: add security.tokens for scrapers")
    except AddressError as error:
        raise AddressError(f"metrics.listen: {error}") from error


class _Server(ThreadingMixIn, WSGIServer):
    """A thread for each request: who reads slowly keeps nobody else waiting."""

    daemon_threads = True
    tls: TlsSpec | None = None

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._room = threading.Semaphore(CONNECTIONS)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002  # its parent's
        """Whether there is room for one more; who finds none may come again."""
        return self._room.acquire(blocking=False)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answer, and make room."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def get_request(self) -> tuple[socket, Any]:
        """Accept; the handshake is for the request's own thread."""
        connection, peer = super().get_request()
        connection.settimeout(PATIENCE_S)
        if self.tls is None:
            return connection, peer
        try:
            # Made for each connection: a certificate that was renewed needs no restart.
            context = _context(self.tls)
            return context.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            ), peer
        except OSError:  # an SSLError is one, and `serve_forever` goes on after it
            connection.close()
            raise

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # its parent's
        """A connection that breaks is not worth a traceback on stderr."""
        log.debug("metrics: the connection from %s broke", client_address, exc_info=True)


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # as its parent calls it
        log.debug("metrics: " + format, *args)


def _context(tls: TlsSpec) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_ca:
        context.load_verify_locations(tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _only(path: str, app: WSGIApplication) -> WSGIApplication:
    """``app`` at one path, and nothing anywhere else."""

    def found(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environment["PATH_INFO"] == path:
            return app(environment, start)
        return _refuse(start, "404 Not Found", f"look at {path}")

    return found


def _guarded(app: WSGIApplication, callers: Callers, denials: Denials) -> WSGIApplication:
    """``app`` for those whose token is for all services; the others are journalled."""

    def asked(environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        try:
            _check(callers, environment.get("HTTP_AUTHORIZATION"))
        except Denied as denied:
            peer = f"{environment['REMOTE_ADDR']}"
            denials.add(Denial(denied.caller, peer, PATH, "", str(denied)))
            forbidden = isinstance(denied, Forbidden)
            return _refuse(start, "403 Forbidden" if forbidden else "401 Unauthorized", str(denied))
        return app(environment, start)

    return asked


def _check(callers: Callers, authorization: str | None) -> None:
    """Raise `Denied` unless the header's token may see every service."""
    caller = callers.by_token([("authorization", authorization)] if authorization else ())
    if caller is None:
        raise Unidentified("no token: send `authorization: Bearer TOKEN`")
    if not caller.covers(EVERY):
        raise Forbidden(f"{caller.name} may not see every service", caller.name)


def _refuse(start: StartResponse, status: str, why: str) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    if status.startswith("401"):
        headers.append(("WWW-Authenticate", "Bearer"))
    start(status, headers)
    return [why.encode() + b"\n"]
