"""Label and field selectors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.cluster.fake.errors import Object, bad_request

Selector = Callable[[Object], bool]

_IN = re.compile(r"(\S+)\s+(in|notin)\s+\(([^)]*)\)")
_EQUAL = re.compile(r"([^=!\s]+)\s*(==|=|!=)\s*([^=!\s]*)")
# Commas between requirements, not those within brackets.
_COMMAS = re.compile(r",(?![^(]*\))")


def parse(labels: str, fields: str) -> Selector:
    """Both selectors in one; raises `ApiError` 400 for what is none."""
    tests = [_label(text.strip()) for text in _COMMAS.split(labels) if text.strip()]
    checks = [_field(text.strip()) for text in fields.split(",") if text.strip()]

    def selects(thing: Object) -> bool:
        own = thing["metadata"].get("labels") or {}
        return all(test(own) for test in tests) and all(check(thing) for check in checks)

    return selects


def _label(text: str) -> Callable[[Mapping[str, str]], bool]:
    if match := _IN.fullmatch(text):
        key, verb, values = match[1], match[2], {value.strip() for value in match[3].split(",")}
        return lambda labels: (labels.get(key) in values) == (verb == "in")
    if match := _EQUAL.fullmatch(text):
        key, value, equal = match[1], match[3], match[2] != "!="
        return lambda labels: (labels.get(key) == value) == equal
    if text.startswith("!"):
        return lambda labels: text[1:] not in labels
    return lambda labels: text in labels


def _field(text: str) -> Selector:
    match = _EQUAL.fullmatch(text)
    if not match:
        raise bad_request(f"invalid selector: '{text}'; can't understand '{text}'")
    path, value, equal = match[1], match[3], match[2] != "!="
    return lambda thing: (str(dig(thing, path, "")) == value) == equal


def dig(thing: Any, path: str, otherwise: Any = None) -> Any:
    """The value at a dotted path."""
    for name in path.split("."):
        if not isinstance(thing, dict) or name not in thing:
            return otherwise
        thing = thing[name]
    return thing


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a LabelSelector object selects these labels (``matchLabels`` only)."""
    return (selector.get("matchLabels") or {}).items() <= labels.items()
