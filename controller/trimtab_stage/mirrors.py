"""Variants of backends on copies of the traffic: real replicas, whose answers nobody gets.

Nothing here lasts by itself: whoever wants variants asks again and again. A daemon that was killed
leaves no copies and no processes behind for longer than its last lease.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from trimtab_sim.profile import Profile
from trimtab_stage.fleet import Host, ReplicaSet
from trimtab_stage.replica import Settings
from trimtab_stage.spec import InvalidAskError
from trimtab_stage.xds import MIRROR, MIRROR_PARTS

LONGEST_LEASE_S = 60.0
MOST_VARIANTS = 8
# A socket is named after the variant, and its path may not be long.
NAME = re.compile(r"[a-z0-9-]{1,6}")
LONGEST_VARIANT = f"{MIRROR}123456"


@dataclass(frozen=True, slots=True)
class Variant:
    """``replicas`` of a ``backend``, but with these ``settings`` (`replica.Settings`)."""

    name: str
    backend: str
    replicas: int
    settings: Mapping[str, float]


class Mirrors:
    """The variants that run, each a set of replicas that only gets copies."""

    def __init__(self, profile: Profile, host: Host, random: Random) -> None:
        self.sets: dict[str, ReplicaSet] = {}
        self._profiles = {backend.name: backend for backend in profile.backends}
        self._host = host
        self._random = random
        self._variants: dict[str, Variant] = {}
        self._share = 0.0
        self._until_s = math.inf
        self._clock = asyncio.get_running_loop().time

    @property
    def endpoints(self) -> dict[str, tuple[str, ...]]:
        """The sockets that take copies, by cluster."""
        return {each.profile.name: each.sockets for each in self.sets.values()}

    @property
    def parts(self) -> dict[str, int]:
        """How many parts of all requests are copied to each cluster that can answer."""
        parts = round(MIRROR_PARTS * self._share)
        return {cluster: parts for cluster, sockets in self.endpoints.items() if sockets and parts}

    def show(self, variants: Sequence[Variant], share: float, lease_s: float) -> bool:
        """Have just these from now on, for ``lease_s``; whether that changes what Envoy must know.

        `InvalidAskError` changes nothing.
        """
        self._check(variants, share, lease_s)
        wanted = {variant.name: variant for variant in variants}
        changes = (wanted, share) != (self._variants, self._share)
        for name in self._variants.keys() - wanted.keys():
            self.sets.pop(name).scale(0)
        for name in wanted.keys() - self._variants.keys():
            self.sets[name] = self._set(wanted[name])
        self._variants, self._share = wanted, share
        self._until_s = self._clock() + lease_s
        return changes

    def keep(self, now_s: float) -> bool:
        """Replace what crashed; at the end of the lease, let all go, which Envoy must know."""
        if self._variants and now_s > self._until_s:
            return self.show((), 0.0, LONGEST_LEASE_S)
        for name, variant in self._variants.items():
            self.sets[name].scale(variant.replicas)
        return False

    def _set(self, variant: Variant) -> ReplicaSet:
        profile = replace(self._profiles[variant.backend], name=f"{MIRROR}{variant.name}")
        return ReplicaSet(profile, self._host, self._random, variant.settings)

    def _check(self, variants: Sequence[Variant], share: float, lease_s: float) -> None:
        if not 0.0 <= share <= 1.0:
            raise InvalidAskError(f"share {share:g}: ask for 0 to 1")
        if not 0.0 < lease_s <= LONGEST_LEASE_S:
            raise InvalidAskError(f"lease_s {lease_s:g}: ask for at most {LONGEST_LEASE_S:g}")
        if len(variants) > MOST_VARIANTS:
            raise InvalidAskError(f"{len(variants)} variants: ask for {MOST_VARIANTS} at most")
        names = [variant.name for variant in variants]
        for variant in variants:
            if names.count(variant.name) > 1:
                raise InvalidAskError(f"variant {variant.name!r} is listed twice")
            self._check_variant(variant)

    def _check_variant(self, variant: Variant) -> None:
        if not NAME.fullmatch(variant.name):
            raise InvalidAskError(f"variant {variant.name!r}: name it by up to 6 of a-z, 0-9 and -")
        if variant.backend not in self._profiles:
            known = ", ".join(self._profiles)
            raise InvalidAskError(f"unknown backend {variant.backend!r}: the stage has {known}")
        most = self._profiles[variant.backend].max_replicas
        if not 1 <= variant.replicas <= most:
            raise InvalidAskError(f"{variant.name}: {variant.replicas} replicas, not 1 to {most}")
        if variant != self._variants.get(variant.name, variant):
            raise InvalidAskError(f"variant {variant.name!r} is something else: give another name")
        checked_settings(variant.settings)


def checked_settings(settings: Mapping[str, float]) -> dict[str, float]:
    """What a replica can be tuned to; `InvalidAskError` names what it cannot."""
    for name, value in settings.items():
        if name not in Settings.NAMES:
            known = ", ".join(Settings.NAMES)
            raise InvalidAskError(f"unknown setting {name!r}: the stage's replicas have {known}")
        if not 0.0 <= value < math.inf:
            raise InvalidAskError(f"setting {name} is {value:g}: give a number, 0 or more")
    return dict(settings)
