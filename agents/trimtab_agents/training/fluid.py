"""A fluid twin of the simulator in torch: what choices cost, with its gradient.

Requests become a flow and start-ups take their mean, so the score of hours can be differentiated
through the rule that carries the choices out. That gradient has none of the noise that a policy
gradient has to average away; what it cannot know (chance, stuck queues, several backends) is left
to PPO. Whole replicas are counted whole; the gradient passes through the rounding unchanged.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from trimtab_envs.action import (
    ACTION_DIMS,
    BARE,
    DEADBAND,
    GLIDE,
    HEADROOMS,
    HOLD_SECONDS,
    HOLD_STARTUPS,
    NEUTRAL,
    WAITS,
    base_headroom,
    one_hot,
)

LONGEST_STARTUP_TICKS = 63
# Least-of-two over replicas waits like one queue of somewhat fewer slots; fitted to the simulator.
POOLING = 0.85
# Places within a tick at which the wait is looked at.
LOOKS = (1 / 6, 1 / 2, 5 / 6)
SOFTNESS = 0.2
NO_WAIT = 1.0 / (1.0 + math.exp(1.0 / SOFTNESS))


class Facts(NamedTuple):
    """What a service's cost depends on, each ``[D, B]``: its profile, lambda and mean load."""

    startup_s: Tensor
    replica_rps: Tensor
    slots: Tensor
    service_scv: Tensor
    slo_latency_s: Tensor
    service_time_s: Tensor
    timeout_s: Tensor
    min_replicas: Tensor
    max_replicas: Tensor
    miss_price: Tensor
    mean_rps: Tensor

    def per_tick(self, ticks: int) -> Facts:
        """Each ``[D x ticks, B]``."""
        return Facts(*(fact.repeat_interleave(ticks, 0) for fact in self))


class Recording(NamedTuple):
    """What B services of one backend met in D decisions of ``T / D`` ticks each.

    ``fresh`` ``[D, B]`` marks decisions that begin an episode, with ``opening`` replicas ready.
    The last four are how things stood before: ``past`` are the replicas wanted before.
    """

    tick_s: float
    observation: Tensor  # [D, B, F]
    fresh: Tensor  # [D, B]
    opening: Tensor  # [D, B]
    facts: Facts
    estimates: Tensor  # [T, B, E] rps
    present: Tensor  # [T, B] rps
    ahead: Tensor  # [T, B]
    backlog: Tensor  # [T, B] requests
    rate_rps: Tensor  # [T, B], offered in the tick that follows
    choice: Tensor  # [B, CHOICES]
    held: Tensor  # [B]
    past: Tensor  # [LONGEST_STARTUP_TICKS, B]

    @property
    def decision_ticks(self) -> int:
        """Ticks from one decision to the next."""
        return len(self.rate_rps) // len(self.fresh)

    def columns(self, rows: Tensor) -> Recording:
        """The same for some of the services."""
        return Recording(
            self.tick_s,
            self.observation[:, rows],
            self.fresh[:, rows],
            self.opening[:, rows],
            Facts(*(fact[:, rows] for fact in self.facts)),
            self.estimates[:, rows],
            self.present[:, rows],
            self.ahead[:, rows],
            self.backlog[:, rows],
            self.rate_rps[:, rows],
            self.choice[rows],
            self.held[rows],
            self.past[:, rows],
        )


def distributions(logits: Tensor) -> list[Tensor]:
    """Each choice's probabilities, from logits ``[..., CHOICES]``."""
    return [torch.softmax(part, -1) for part in torch.split(logits, list(ACTION_DIMS), -1)]


def costs(logits: Tensor, seen: Recording) -> Tensor:
    """Score of every tick ``[T, B]``, fleet + lambda x miss, had the policy chosen so.

    ``logits`` ``[D, B, CHOICES]``; differentiable in them.
    """
    facts = seen.facts.per_tick(seen.decision_ticks)
    wanted = _wanted(logits, seen, facts)
    ready = _ready(wanted, seen, facts)
    miss = _misses(ready, seen, facts) * seen.rate_rps / facts.mean_rps
    return wanted * facts.replica_rps / facts.mean_rps + facts.miss_price * miss


def _wanted(logits: Tensor, seen: Recording, facts: Facts) -> Tensor:
    """Replicas wanted in every tick, ``[T, B]``: the rule of `trimtab_envs.action` again."""
    chosen = torch.cat(distributions(logits), 2)
    neutral = torch.as_tensor(one_hot(np.array(NEUTRAL)), dtype=torch.float32)
    choice = _glide(chosen, seen.choice, seen.fresh, neutral)
    mixture, headroom, hold, _, _, wait = torch.split(choice, list(ACTION_DIMS), dim=2)

    base = torch.as_tensor(base_headroom(seen.facts.miss_price.numpy()))
    headroom_now = torch.exp(headroom @ _table(np.log(HEADROOMS))) * base
    holds_s = _table(HOLD_SECONDS) + _table(HOLD_STARTUPS) * seen.facts.startup_s[..., None]
    keep = torch.exp(-seen.tick_s / torch.exp((hold * torch.log(holds_s)).sum(2)))

    ticks = seen.decision_ticks
    waits = (wait @ _table(WAITS)).repeat_interleave(ticks, 0)
    mixed = (seen.estimates * mixture.repeat_interleave(ticks, 0)).sum(2)
    backlog = seen.backlog / torch.clamp(facts.startup_s, min=1.0)
    work = mixed * headroom_now.repeat_interleave(ticks, 0) + backlog
    return _held(
        torch.minimum(work / facts.replica_rps, facts.max_replicas),
        BARE * seen.present / facts.replica_rps,
        1.0 - waits * (1.0 - seen.ahead),
        keep.repeat_interleave(ticks, 0),
        _first_ticks(seen),
        seen.opening.repeat_interleave(ticks, 0),
        facts.min_replicas,
        facts.max_replicas,
        seen.held,
        seen.past[-1],
        DEADBAND,
    )


def _table(values: np.ndarray) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)


def _first_ticks(seen: Recording) -> Tensor:
    """Ticks that begin an episode, ``[T, B]``."""
    first = torch.zeros(seen.rate_rps.shape, dtype=torch.bool)
    first[:: seen.decision_ticks] = seen.fresh
    return first


def _glide(chosen: Tensor, choice: Tensor, fresh: Tensor, neutral: Tensor) -> Tensor:
    """Choices as they act, ``[D, B, CHOICES]``."""
    acting = []
    for target, begins in zip(chosen, fresh, strict=True):
        choice = torch.where(begins[:, None], neutral, choice)
        choice = choice + GLIDE * (target - choice)
        acting.append(choice)
    return torch.stack(acting)


def _held(
    target: Tensor,
    bare: Tensor,
    part: Tensor,
    keep: Tensor,
    first: Tensor,
    opening: Tensor,
    least: Tensor,
    most: Tensor,
    held: Tensor,
    wanted: Tensor,
    deadband: float,
) -> Tensor:
    found = []
    # Unbound, because the gradient of an index into a whole array is as large as the array.
    aims, bares, parts, keeps = target.unbind(0), bare.unbind(0), part.unbind(0), keep.unbind(0)
    for tick in range(len(aims)):
        begins, aim = first[tick], aims[tick]
        held = torch.where(begins, aim, torch.maximum(aim, aim + keeps[tick] * (held - aim)))
        wanted = torch.where(begins, opening[tick], wanted)
        need = held - (1.0 - parts[tick]) * torch.relu(held - bares[tick])
        with torch.no_grad():
            up, down = torch.ceil(need - 1e-6), torch.ceil(need + deadband)
            moves = (up > wanted) | (down < wanted)
            whole = torch.where(up > wanted, up, down)
            rest = torch.minimum(torch.maximum(whole, least[tick]), most[tick]) - need
        wanted = torch.where(moves, need + rest, wanted)
        found.append(wanted)
    return torch.stack(found)


def _ready(wanted: Tensor, seen: Recording, facts: Facts) -> Tensor:
    """Replicas ready in every tick, ``[T, B]``: the least that were wanted for a start-up."""
    ticks, services = wanted.shape
    since = torch.zeros(ticks, services, dtype=torch.int64)
    age = torch.full((services,), LONGEST_STARTUP_TICKS)
    for tick, begins in enumerate(_first_ticks(seen)):
        age = torch.where(begins, 0, age + 1)
        since[tick] = age
    startup = torch.round(facts.startup_s / seen.tick_s).to(torch.int64)
    length = torch.minimum(torch.minimum(startup, since) + 1, torch.tensor(LONGEST_STARTUP_TICKS))
    lowest = _sliding_minimum(torch.cat((seen.past, wanted)), length)
    opening = _last_opening(seen)
    return torch.where(since < startup, torch.minimum(lowest, opening), lowest)


def _last_opening(seen: Recording) -> Tensor:
    openings, opening = [], seen.past[-1]
    for begins, fresh in zip(seen.fresh, seen.opening, strict=True):
        opening = torch.where(begins, fresh, opening)
        openings.append(opening)
    return torch.stack(openings).repeat_interleave(seen.decision_ticks, 0)


def _sliding_minimum(values: Tensor, length: Tensor) -> Tensor:
    """Least of the last ``length`` ``[T, B]`` values at each of the last T rows of ``values``."""
    tables, width = [values], 1
    while 2 * width <= LONGEST_STARTUP_TICKS:
        last = tables[-1]
        # Row i covers the rows i - 2 x width + 1 to i.
        tables.append(torch.cat((last[:width], torch.minimum(last[width:], last[:-width]))))
        width *= 2
    power = torch.floor(torch.log2(length.to(torch.float32))).to(torch.int64)
    end = torch.arange(len(values) - len(length), len(values))[:, None].expand(length.shape)
    stacked = torch.stack(tables)
    start = end - length + torch.pow(2, power)
    column = torch.arange(values.shape[1]).expand(length.shape)
    return torch.minimum(stacked[power, end, column], stacked[power, start, column])


def _misses(ready: Tensor, seen: Recording, facts: Facts) -> Tensor:
    """Share of each tick's requests that are late, ``[T, B]``."""
    capacity = torch.clamp(ready, min=0.5) * facts.replica_rps
    excess = (seen.rate_rps - capacity) * seen.tick_s
    queue = _queue(excess, facts.timeout_s * capacity, _first_ticks(seen))
    before, after = queue[:-1] / capacity, queue[1:] / capacity
    before = torch.where(_first_ticks(seen), torch.zeros_like(before), before)

    load = torch.clamp(seen.rate_rps / capacity, 0.01, 0.999)
    servers = facts.slots * torch.clamp(ready, min=1.0) ** POOLING
    # Sakasegawa's approximation of Erlang's C; above it the wait is exponential.
    waits = torch.exp(torch.log(load) * (torch.sqrt(2.0 * (servers + 1.0)) - 1.0))
    decay = 2.0 / (1.0 + facts.service_scv) * (1.0 - load) * servers / facts.service_time_s
    slack_s = facts.slo_latency_s - facts.service_time_s
    late = torch.zeros_like(load)
    for place in LOOKS:
        wait_s = before + (after - before) * place
        behind = (torch.sigmoid((wait_s / slack_s - 1.0) / SOFTNESS) - NO_WAIT) / (1.0 - NO_WAIT)
        unlucky = waits * torch.exp(-decay * torch.relu(slack_s - wait_s))
        late = late + (behind + (1.0 - behind) * unlucky) / len(LOOKS)
    return late


def _queue(excess: Tensor, most: Tensor, first: Tensor) -> Tensor:
    queue = torch.zeros_like(excess[0])
    found = [queue]
    excesses, limits = excess.unbind(0), most.unbind(0)
    for tick in range(len(excesses)):
        queue = torch.where(first[tick], torch.zeros_like(queue), queue)
        queue = torch.minimum(torch.relu(queue + excesses[tick]), limits[tick])
        found.append(queue)
    return torch.stack(found)
