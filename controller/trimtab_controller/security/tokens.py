"""Bearer tokens, and the file that knows them by their hashes.

A token is 256 random bits, which nobody can guess, so one round of SHA-256 hides it: slow hashes
are for passwords, which people choose. It is shown once, when it is made. The file lies beside the
configuration, for it is what people decide; the journal may be a database that others read.
"""

from __future__ import annotations

import fcntl
import hmac
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from stat import S_IMODE
from typing import Any

import yaml

from trimtab_controller.journal import whole_file
from trimtab_controller.security.roles import Role
from trimtab_controller.security.stamp import Stamp, stamp
from trimtab_sim.schema import ConfigError, check_unique, read_file

log = logging.getLogger(__name__)

SECRET_BYTES, ID_BYTES = 32, 4
# `trimtab_` lets scanners for leaked secrets know one when they see it.
FORM = re.compile(r"trimtab_([0-9a-f]{8})_[0-9a-f]{64}")
ID, HASH = re.compile(r"[0-9a-f]{8}"), re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[\w.@+-]{1,80}")
OTHERS_MAY_WRITE = 0o022


class UnknownTokenError(Exception):
    """A token that does not count, and why."""


@dataclass(frozen=True, slots=True)
class Token:
    """What is known of a token: all but the token itself. No ``services`` are all of them."""

    id: str
    name: str
    role: Role
    sha256: str
    created_s: float
    expires_s: float
    services: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, form, advice in (
            ("id", ID, "must be 8 hexadecimal digits"),
            ("name", NAME, "use up to 80 letters, digits and any of . _ @ + -"),
            ("sha256", HASH, "must be 64 hexadecimal digits"),
        ):
            if not form.fullmatch(getattr(self, field)):
                raise ValueError(f"{field} {getattr(self, field)!r}: {advice}")


@dataclass(frozen=True, slots=True)
class TokenFile:
    """The whole file."""

    tokens: tuple[Token, ...] = ()

    def __post_init__(self) -> None:
        check_unique("token", [token.id for token in self.tokens])


def issue(
    name: str,
    role: Role,
    services: tuple[str, ...],
    expires_s: float,
    now_s: float,
    entropy: Callable[[int], str] = secrets.token_hex,
) -> tuple[str, Token]:
    """A new token, and what is to be kept of it; ``ValueError`` for a bad name."""
    token_id = entropy(ID_BYTES)
    text = f"trimtab_{token_id}_{entropy(SECRET_BYTES)}"
    return text, Token(token_id, name, role, _hashed(text), now_s, expires_s, services)


def kept(file: Path) -> tuple[Token, ...]:
    """The tokens in ``file``; `ConfigError` says what is wrong with it, and where."""
    found = stamp(file)
    if found is None:
        make = "make its first token with `trimtab token create NAME --role admin`"
        raise ConfigError(f"{file}: there is no such file, or it cannot be seen: {make}")
    if found.mode & OTHERS_MAY_WRITE:
        raise ConfigError(f"{file}: others may write to it: chmod 600 {file}")
    return read_file(file, TokenFile).tokens


@contextmanager
def changing(file: Path) -> Iterator[list[Token]]:
    """The tokens in ``file`` as a list to change, alone; it is written whole.

    A file that is missing is made for its owner only; one that is there keeps owner and mode, or
    the daemon might not be able to read it any more. Raises `ConfigError` or ``OSError``, and then
    nothing changes.
    """
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        before = file.stat() if file.exists() else None
        tokens = list(kept(file)) if before else []
        yield tokens
        with whole_file(file) as out:  # a new one has mode 0600
            yaml.safe_dump(_plain(tokens), out, sort_keys=False)
            if before:
                os.fchown(out.fileno(), before.st_uid, before.st_gid)
                os.fchmod(out.fileno(), S_IMODE(before.st_mode))
    finally:
        os.close(folder)


class Tokens:
    """The file's tokens as they are now: it is read again whenever it has changed.

    What cannot be read grants nothing: a token that was taken out must not live on in memory.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._seen: Stamp | None = None
        self._tokens: dict[str, Token] = {}
        self._turn = threading.Lock()

    def find(self, text: str, now_s: float) -> Token:
        """The token that ``text`` is; raises `UnknownTokenError`."""
        form = FORM.fullmatch(text)
        if form is None:
            raise UnknownTokenError("this is not a token of trimtab")
        token = self._current().get(form[1])
        # Compared in constant time: how long a refusal takes says nothing about the hash.
        if token is None or not hmac.compare_digest(token.sha256, _hashed(text)):
            raise UnknownTokenError(f"token {form[1]} is not known: it may have been revoked")
        if now_s >= token.expires_s:
            raise UnknownTokenError(f"token {token.id} of {token.name} has expired: make a new one")
        return token

    def _current(self) -> dict[str, Token]:
        with self._turn:
            now = stamp(self._file)
            if now != self._seen:
                self._seen, self._tokens = now, self._load()
            return self._tokens

    def _load(self) -> dict[str, Token]:
        try:
            tokens = {token.id: token for token in kept(self._file)}
        except ConfigError as error:
            log.error("no token is accepted until this is put right: %s", error)
            return {}
        log.info("%s: %d tokens", self._file, len(tokens))
        return tokens


def _hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _plain(tokens: list[Token]) -> dict[str, Any]:
    written = [asdict(token) | {"role": str(token.role)} for token in tokens]
    for each in written:
        each["services"] = list(each["services"])
    # An empty list is no value of this format: what is left out has its default.
    return _without_empty({"tokens": [_without_empty(each) for each in written]})


def _without_empty(mapping: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in mapping.items() if value != []}
