"""From replayed days to what may be claimed: savings and extra misses, with intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trimtab_agents.evidence.doubt import DAYS_ALPHA
from trimtab_agents.evidence.findings import Interval
from trimtab_agents.evidence.replay import Books
from trimtab_agents.evidence.sequence import looks
from trimtab_sim.profile import Floats


@dataclass(frozen=True, slots=True)
class Claim:
    """One number per day: its mean so far, and the interval's ends, after each of D days.

    ``value`` is for the profile as it is; the ends are the worst of all profiles', ``[D, B]``.
    """

    value: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(cls, days: Floats) -> Claim:
        """Of daily numbers ``[D, E, B]``, E profiles, of which the first is believed."""
        low, high = looks(days, DAYS_ALPHA)
        count = np.arange(1.0, len(days) + 1.0)[:, None]
        return cls(np.cumsum(days[:, 0], 0) / count, low.min(1), high.max(1))

    def last(self, row: int = 0) -> Interval:
        """After the last day, of one service."""
        ends = self.value[-1, row], self.low[-1, row], self.high[-1, row]
        return Interval(*map(float, ends))


@dataclass(frozen=True, slots=True)
class Claims:
    """Of the policy against the incumbent: ``saving`` is a share of the incumbent's cost.

    ``saved`` is in price x replica-seconds a day, ``extra_misses`` a share of the requests.
    """

    saving: Claim
    saved: Claim
    extra_misses: Claim

    @classmethod
    def of(cls, incumbent: Books, policy: Books, profiles: int) -> Claims:
        """Of books whose rows are all services under one profile, then under the next."""

        def split(values: Floats) -> Floats:
            return values.reshape(len(values), profiles, -1)

        saved = incumbent.cost - policy.cost
        return cls(
            saving=Claim.of(split(saved / np.maximum(incumbent.cost, 1e-9))),
            saved=Claim.of(split(saved)),
            extra_misses=Claim.of(split(policy.miss_share - incumbent.miss_share)),
        )
