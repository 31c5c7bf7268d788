"""Works a scorecard out: reads, certifies, replays, and says why where it cannot."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from trimtab_agents.bundle import PpoPolicy
from trimtab_agents.evidence.certificate import certify
from trimtab_agents.evidence.claims import Claims
from trimtab_agents.evidence.doubt import ends
from trimtab_agents.evidence.findings import Check, Interval
from trimtab_agents.evidence.replay import Books, Cast, observed, replay
from trimtab_controller.config import Config, ServiceConfig
from trimtab_controller.evidence.recorded import DAY_S, Recorded, recorded
from trimtab_controller.evidence.scorecard import Account, Day, Scorecard, Verdict
from trimtab_controller.evidence.steered import Steered
from trimtab_controller.journal.chain import Location
from trimtab_sim.profile import Profile, Profiles

# Fewer days have no interval of 95 % that could be looked at daily.
LEAST_DAYS = 5
SEED = 0
Tell = Callable[[str], object]


def appraise(
    journal: Location,
    config: Config,
    service: ServiceConfig,
    bundle: PpoPolicy,
    days: int,
    now_s: float,
    tell: Tell = lambda _: None,
) -> Scorecard:
    """The scorecard of the last ``days`` whole days. `JournalError`."""
    tell(f"reading the journal of {service.name}")
    past = recorded(journal, config, service, days)
    card = Scorecard(service.name, now_s, config.money.currency, 0, 0, 0.0)
    if past is None:
        return replace(card, no_verdict=f"the journal has no tick of {service.name} yet")
    card = _counted(past, card)
    if card.days < LEAST_DAYS:
        return replace(card, no_verdict=_too_early(past, card))
    tell(f"the A/A certificate of {card.days} days")
    profile = believed(service)
    card = replace(
        card, certificate=certify(past.past, [profile], SEED).checks(0, past.pace.tick_s)
    )
    if failed := [check for check in card.certificate if not check.passed]:
        return replace(card, no_verdict=_unlike(failed, profile))
    tell("what the policy would have done")
    return replace(card, verdict=_verdict(past, config, service, bundle))


def _counted(past: Recorded, card: Scorecard) -> Scorecard:
    """With the days that count, and how well they were seen."""
    counted = past.counted
    return replace(
        card,
        days=int(counted.sum()),
        acted_days=int((past.acted > 0).sum()),
        fresh_share=float(past.past.fresh[counted, 0].mean()) if counted.any() else 0.0,
        mode=past.mode,
    )


def believed(service: ServiceConfig) -> Profile:
    """What was fitted, where somebody did; SLO and bounds are the configuration's."""
    if service.fitted is None:
        return service.profile
    backends = zip(service.fitted.profile.backends, service.profile.backends, strict=True)
    return replace(
        service.profile,
        metric_lag_s=service.fitted.metric_lag_s,
        backends=tuple(
            replace(
                fit,
                price=own.price,
                min_replicas=own.min_replicas,
                max_replicas=own.max_replicas,
            )
            for fit, own in backends
        ),
    )


def _verdict(past: Recorded, config: Config, service: ServiceConfig, bundle: PpoPolicy) -> Verdict:
    profile = believed(service)
    worlds = [profile, *ends(profile, service.fitted.intervals if service.fitted else ())]
    cast = Cast.of(np.zeros(len(worlds), int), past.past.lag_ticks, Profiles.stack(worlds))
    start_s, tick_s = past.start_s, past.pace.tick_s
    steered = Steered(service, bundle, len(worlds), start_s, tick_s, config.speed)
    seen = observed(past.past, cast.profiles.price[:1]).of_days(past.counted)
    incumbent = replay(past.past, cast, None, SEED).of_days(past.counted)
    policy = replay(past.past, cast, steered, SEED).of_days(past.counted)
    claims = Claims.of(incumbent, policy, len(worlds))
    accounts = _Accounts(config, float(cast.profiles.least_price[0]))
    return Verdict(
        policy_name=steered.name,
        observed=accounts.mean(seen),
        replayed=accounts.mean(incumbent),
        policy=accounts.mean(policy),
        saving=claims.saving.last(),
        saved=accounts.money(claims.saved.last()),
        extra_misses=claims.extra_misses.last(),
        interventions=steered.interventions,
        by_day=tuple(
            Day(date, accounts.day(seen, at), accounts.day(policy, at))
            for at, date in enumerate(_dates(past))
        ),
    )


@dataclass(frozen=True, slots=True)
class _Accounts:
    """Makes accounts of books, in the currency; a replay's day counts like one in life."""

    config: Config
    least_price: float

    @property
    def _money_per_cost(self) -> float:
        return self.config.money.replica_hour * self.config.speed / 3600.0

    def money(self, cost: Interval) -> Interval:
        return Interval(*(self._money_per_cost * end for end in (cost.value, cost.low, cost.high)))

    def day(self, books: Books, day: int) -> Account:
        requests, cost = float(books.requests[day, 0]), float(books.cost[day, 0])
        return Account(
            requests=requests * self.config.speed,
            miss_share=float(books.miss_share[day, 0]),
            cost=cost * self._money_per_cost,
            fleet=cost / max(requests * self.least_price, 1e-9),
            scale_events=float(books.events[day, 0]),
        )

    def mean(self, books: Books) -> Account:
        days, sums = len(books.cost), self.day(books.total(), 0)
        return replace(
            sums,
            requests=sums.requests / days,
            cost=sums.cost / days,
            scale_events=sums.scale_events / days,
        )


def _dates(past: Recorded) -> list[str]:
    """The counted days as humans name them; a replay's have numbers."""
    starts_s = past.start_s + past.pace.day_s * np.flatnonzero(past.counted)
    if past.pace.day_s < DAY_S:
        return [f"day {number + 1}" for number in range(len(starts_s))]
    return [datetime.fromtimestamp(at_s, UTC).date().isoformat() for at_s in starts_s]


def _too_early(past: Recorded, card: Scorecard) -> str:
    """A helpful sentence for whoever has just begun."""
    unit = "days" if past.pace.day_s >= DAY_S else f"days of {past.pace.day_s / 60.0:.0f} minutes"
    acted = f", {card.acted_days} in which trimtab itself acted and which do not count"
    seen = f"{card.days} of at least {LEAST_DAYS} whole {unit} are recorded"
    ready_s = past.pace.day_began_s(past.last_s) + past.pace.day_s * (LEAST_DAYS - card.days + 1)
    ready = datetime.fromtimestamp(ready_s, UTC).isoformat(" ", "minutes")[:16]
    return (
        f"{seen}{acted if card.acted_days else ''} ({_span(past.seen_s)} of metrics so far): leave "
        f"it in shadow, and ask again after {ready} UTC"
    )


def _span(seconds: float) -> str:
    for unit, length_s in (("days", DAY_S), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 1.5 * length_s:
            return f"{seconds / length_s:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def _unlike(failed: list[Check], profile: Profile) -> str:
    """Why the simulator is not this service."""
    told = "; ".join(
        f"{check.name}: {_number(check.observed)} seen, {_number(check.replayed)} replayed "
        f"({check.meaning})"
        for check in failed
    )
    return (
        f"replaying what was done does not give what was seen: {told}. Record {profile.name} and "
        "fit it anew (`trimtab record`, `trimtab fit`), and name the file as `fitted:`"
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "nothing"
