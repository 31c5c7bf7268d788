"""The daemon's certificate, read anew when its files change: rotation needs no restart."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import grpc

from trimtab_controller.security.spec import TlsSpec
from trimtab_controller.security.stamp import Stamp, stamp
from trimtab_sim.schema import ConfigError

log = logging.getLogger(__name__)


class Certificates:
    """What the files hold, as long as it fits together; else what they held before."""

    def __init__(self, spec: TlsSpec) -> None:
        """`ConfigError` when the files cannot be used."""
        self._spec = spec
        self._files = [Path(file) for file in (spec.certificate, spec.key, spec.client_ca) if file]
        self._seen = self._stamps()
        self._first = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """Of a port that looks at the files before every handshake."""
        return grpc.dynamic_ssl_server_credentials(
            self._first,
            self.changed,  # type: ignore[arg-type]  # None: no change, says its docstring
            require_client_authentication=bool(self._spec.client_ca),
        )

    def changed(self) -> grpc.ServerCertificateConfiguration | None:
        """What the files hold now, if that is new and good; a bad one is told once."""
        stamps = self._stamps()
        if stamps == self._seen:
            return None
        self._seen = stamps
        try:
            configuration = self._read()
        except ConfigError as error:
            log.error("the certificate is not replaced, the last good one stays: %s", error)
            return None
        log.info("%s: replaced: new connections get this certificate", self._spec.certificate)
        return configuration

    def _read(self) -> grpc.ServerCertificateConfiguration:
        """The files' contents, checked: gRPC itself would not say what is wrong."""
        spec = self._spec
        try:
            pair = [(Path(spec.key).read_bytes(), Path(spec.certificate).read_bytes())]
            roots = Path(spec.client_ca).read_bytes() if spec.client_ca else None
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from error
        log.info("%s: holds until %s", spec.certificate, _check(spec))
        return grpc.ssl_server_certificate_configuration(pair, roots)

    def _stamps(self) -> list[Stamp | None]:
        return [stamp(file) for file in self._files]


def _check(spec: TlsSpec) -> str:
    """Until when the certificate holds; `ConfigError` says what is wrong with the files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(spec.certificate, spec.key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(
            f"{spec.certificate} and {spec.key}: not a PEM certificate chain and its unencrypted "
            f"key: {_named(error)}"
        ) from error
    until = _rehearsed(context, spec.certificate)
    try:
        if spec.client_ca:
            context.load_verify_locations(spec.client_ca)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"{spec.client_ca}: not the PEM certificate of a CA: {_named(error)}"
        ) from error
    return until


def _rehearsed(server: ssl.SSLContext, certificate: str) -> str:
    """The end of a certificate that a client would accept, as a handshake in memory shows.

    A daemon whose certificate has expired could not be commanded by anybody who looks at it.
    """
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it is trusted here, whoever signed it
    client.load_verify_locations(certificate)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = (client.wrap_bio(back, there), server.wrap_bio(there, back, server_side=True))
    done = [False]
    try:
        while not all(done):
            done = [_went_on(side) for side in sides]
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or _named(error)
        raise ConfigError(f"{certificate}: {reason}: renew it") from error
    return str((sides[0].getpeercert() or {})["notAfter"])


def _went_on(side: ssl.SSLObject) -> bool:
    """Take a handshake as far as it goes; whether that is its end."""
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _named(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error)
