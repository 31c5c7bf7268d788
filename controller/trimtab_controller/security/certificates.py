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
        log.info("%s: replaced; new connections get this certificate", self._spec.certificate)
        return configuration

    def _read(self) -> grpc.ServerCertificateConfiguration:
        """The files' contents, checked: gRPC itself would not say what is wrong."""
        spec = self._spec
        try:
            pair = [(Path(spec.key).read_bytes(), Path(spec.certificate).read_bytes())]
            roots = Path(spec.client_ca).read_bytes() if spec.client_ca else None
        except OSError as error:
            raise ConfigError(f"{error.filename}: {error.strerror}") from error
        _check(spec)
        return grpc.ssl_server_certificate_configuration(pair, roots)

    def _stamps(self) -> list[Stamp | None]:
        return [stamp(file) for file in self._files]


def _check(spec: TlsSpec) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(spec.certificate, spec.key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(
            f"{spec.certificate} and {spec.key}: not a PEM certificate chain and its unencrypted "
            f"key: {_named(error)}"
        ) from error
    try:
        if spec.client_ca:
            context.load_verify_locations(spec.client_ca)
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(
            f"{spec.client_ca}: not the PEM certificate of a CA: {_named(error)}"
        ) from error


def _no_password() -> str:
    raise ValueError("the key is encrypted")


def _named(error: Exception) -> str:
    return getattr(error, "reason", None) or str(error)
