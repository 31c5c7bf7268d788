"""A service's past lived again: by its policy, by the policy without parts of its sight, by rules.

A policy's memory is made of nothing but the states that it was shown, and those are in the
journal. So nothing need be kept beside them, and the proof that it is the same policy again is
that it proposes what was proposed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab_agents.bundle import PpoPolicy
from trimtab_agents.envelope import Stray
from trimtab_agents.hpa import HpaConfig
from trimtab_agents.occlusion import GROUPS, occluded
from trimtab_agents.policy import Policy
from trimtab_agents.proposer import Learned, Proposer
from trimtab_agents.rules.hpa import HpaRule, Rate
from trimtab_agents.rules.kpa import KpaRule
from trimtab_agents.rules.predictive import PredictiveRule
from trimtab_controller.explain.decisions import Decision
from trimtab_controller.explain.past import past
from trimtab_controller.journal import Journal
from trimtab_controller.memory import TickRecord
from trimtab_controller.recommend.subject import Subject
from trimtab_guard.model import State, Want
from trimtab_sim.profile import Floats, Profiles
from trimtab_sim.signals import Sensed, Wanted

# What autoscalers are usually set to.
TARGET = 0.7
SAME_WEIGHT = 1e-6


class Alternative(NamedTuple):
    """What would have been wanted instead."""

    name: str
    wants: tuple[Want, ...]

    @property
    def replicas(self) -> int:
        """Of all backends."""
        return sum(want.replicas for want in self.wants)


@dataclass(frozen=True, slots=True)
class Relived:
    """What each group of inputs and each rule would have made of it; ``doubt``: why not."""

    inputs: tuple[Alternative, ...] = ()
    rules: tuple[Alternative, ...] = ()
    doubt: str = ""


@dataclass(slots=True)
class Ruled:
    """A rule in a learned policy's place: nothing is foreign to it."""

    name: str
    rule: Policy
    strays: list[Stray | None] = field(default_factory=list)

    def reset(self, profiles: Profiles, miss_price: Floats, tick_s: float) -> None:
        """Forget everything."""
        self.strays = [None] * profiles.shape[0]
        self.rule.reset(profiles, miss_price, tick_s)

    def act(self, sensed: Sensed) -> Wanted:
        """As the rule does."""
        return self.rule.act(sensed)


def rules() -> Iterator[Ruled]:
    """Those that people know, at the target that they are usually set to."""
    down_s = HpaConfig(TARGET).down_stabilization_s
    known = (
        HpaRule(TARGET),
        HpaRule(TARGET, metric=Rate()),
        KpaRule(TARGET),
        PredictiveRule(0.95, 1.0 / TARGET, down_s),
    )
    return (Ruled(rule.name, rule) for rule in known)


def relive(decision: Decision, journal: Journal, policy: PpoPolicy, subject: Subject) -> Relived:
    """Live until the decision; raises `JournalError`."""
    proposal = decision.tick.proposal
    if proposal is None:
        return Relived(doubt="there was no proposal")
    if proposal.policy != policy.name:
        return Relived(doubt=f"policy {proposal.policy} is not loaded any more")
    states = past(decision, journal, subject)
    real, *without = _last(occluded(policy), states, subject, 1 + len(GROUPS))
    if not _same(real, proposal.backends):
        return Relived(
            doubt=f"after {len(states)} ticks of its past the policy wants something else than it "
            "did then: the journal does not tell all that it had seen"
        )
    named = map(Alternative, GROUPS, without)
    inputs = sorted(named, key=lambda other: -abs(other.replicas - _replicas(real)))
    return Relived(tuple(inputs), tuple(_ruled(decision.tick, states, subject)))


def _last(
    policy: Learned, states: Sequence[State], subject: Subject, copies: int
) -> list[tuple[Want, ...]]:
    """What ``copies`` of the service are wanted to have in the last of the states."""
    proposer = Proposer(
        policy,
        [subject.profile] * copies,
        [subject.miss_price] * copies,
        subject.limits.interval_s,
        subject.speed,
    )
    proposals = [proposer.propose([state] * copies) for state in states]
    return [proposal.backends for proposal in proposals[-1]]


def _ruled(tick: TickRecord, states: Sequence[State], subject: Subject) -> Iterator[Alternative]:
    # An HPA decides at every sync and then waits: the last state is to be one.
    sync_ticks = math.ceil(HpaConfig(TARGET).sync_s / (subject.limits.interval_s * subject.speed))
    for rule in rules():
        (wants,) = _last(rule, states[(len(states) - 1) % sync_ticks :], subject, 1)
        yield Alternative(f"{rule.name} at {TARGET:.0%}".replace("%", " %"), wants)
    if tick.baseline:
        yield Alternative("the guard's own rule", tick.baseline)


def _same(wants: tuple[Want, ...], others: tuple[Want, ...]) -> bool:
    return len(wants) == len(others) and all(
        want.replicas == other.replicas and abs(want.weight - other.weight) <= SAME_WEIGHT
        for want, other in zip(wants, others, strict=True)
    )


def _replicas(wants: tuple[Want, ...]) -> int:
    return sum(want.replicas for want in wants)
