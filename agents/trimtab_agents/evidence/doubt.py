"""What is not known of a profile: the ends between which every claim must hold.

The intervals of `trimtab fit` hold the truth with 90 %. An interval of 95 % spends half of its
doubt on the days (`sequence`) and half on the profile, so they are stretched to 97.5 %; and all
quantities are at their worse ends at once, which is more than likely enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import exp, log
from typing import Any

from trimtab_sim.profile import Profile
from trimtab_sim.profile_file import Interval

ALPHA = 0.05
# Half for the days, half for the profile.
DAYS_ALPHA = ALPHA / 2.0
# Normal quantiles of 97.5 % and of 90 %, two-sided.
STRETCH = 2.2414 / 1.6449
# Where nobody measured: a profile written by hand is believed to this factor.
ASSUMED = {"service_time_s": 1.1, "startup_mean_s": 1.25}
# More of these makes it easier to keep the SLO; of all others, harder.
_EASES = {"concurrency"}


def ends(profile: Profile, intervals: Sequence[Interval]) -> tuple[Profile, Profile]:
    """The same service where all that is in doubt is easier, and where all of it is harder."""
    stretched = [_stretched(profile, doubt) for doubt in intervals or _assumed(profile)]
    return _at(profile, stretched, harder=False), _at(profile, stretched, harder=True)


def _assumed(profile: Profile) -> list[Interval]:
    values = [(one.name, name, getattr(one, name)) for one in profile.backends for name in ASSUMED]
    return [
        Interval(name, value / ASSUMED[name], value * ASSUMED[name], backend)
        for backend, name, value in values
    ]


def _stretched(profile: Profile, doubt: Interval) -> Interval:
    """From 90 % to 97.5 %, around the value that is used."""
    value = _value(profile, doubt)
    if min(value, doubt.low) <= 0.0:  # a lag may be 0, where ratios mean nothing
        low = max(0.0, value - STRETCH * (value - doubt.low))
        return replace(doubt, low=low, high=value + STRETCH * (doubt.high - value))
    low, high = (value * exp(STRETCH * log(end / value)) for end in (doubt.low, doubt.high))
    return replace(doubt, low=low, high=high)


def _value(profile: Profile, doubt: Interval) -> float:
    owner = next((one for one in profile.backends if one.name == doubt.backend), None)
    return float(getattr(owner or profile, doubt.quantity))


def _at(profile: Profile, doubts: Sequence[Interval], *, harder: bool) -> Profile:
    def values(owner: str) -> dict[str, Any]:
        chosen = [doubt for doubt in doubts if doubt.backend == owner]
        return {one.quantity: _end(one, harder=harder) for one in chosen}

    backends = tuple(replace(one, **values(one.name)) for one in profile.backends)
    return replace(profile, backends=backends, **values(""))


def _end(doubt: Interval, *, harder: bool) -> float | int:
    end = doubt.high if harder != (doubt.quantity in _EASES) else doubt.low
    return max(1, round(end)) if doubt.quantity == "concurrency" else end
