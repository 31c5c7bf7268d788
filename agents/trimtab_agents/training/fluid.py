"""A fluid twin of the simulator in torch: what choices cost, with its gradient.

Requests become a flow and start-ups take their mean, so the score of hours can be differentiated
through the rule that carries the choices out. That gradient has none of the noise that a policy
gradient has to average away; what it cannot know (chance, stuck queues) is left to PPO. Whole
replicas are counted whole; the gradient passes through the rounding unchanged. Rows are backends,
those of a service one after the other.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

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
    LEANS,
    NEUTRAL,
    TILTS,
    WAITS,
    base_headroom,
    one_hot,
)
from trimtab_envs.merit import FULL, SOME_RPS, STRICTNESS

LONGEST_STARTUP_TICKS = 63
# Least-of-two over replicas waits like one queue of somewhat fewer slots; fitted to the simulator.
POOLING = 0.85
# Places within a tick at which the wait is looked at.
LOOKS = (1 / 6, 1 / 2, 5 / 6)
SOFTNESS = 0.2
# Divides where there is nothing to divide.
TINY = 1e-9
NO_WAIT = 1.0 / (1.0 + math.exp(1.0 / SOFTNESS))


class Facts(NamedTuple):
    """What a backend's cost depends on, each ``[D, R]``: its profile, lambda and mean load.

    ``replica_price`` is a replica's in units of the fleet; ``mean_rps`` is the whole service's.
    """

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
    replica_price: Tensor

    def per_tick(self, ticks: int) -> Facts:
        """Each ``[D x ticks, R]``."""
        return Facts(*(fact.repeat_interleave(ticks, 0) for fact in self))


class Recording(NamedTuple):
    """What R backends, ``backends`` to a service, met in D decisions of ``T / D`` ticks each.

    ``fresh`` ``[D, R]`` marks decisions that begin an episode, with ``opening`` replicas ready.
    The last four are how things stood before: ``past`` are the replicas wanted before.
    """

    tick_s: float
    backends: int
    observation: Tensor  # [D, R, F]
    fresh: Tensor  # [D, R]
    opening: Tensor  # [D, R]
    facts: Facts
    estimates: Tensor  # [T, R, E] rps, of the whole service
    present: Tensor  # [T, R] rps, of the whole service
    ahead: Tensor  # [T, R]
    backlog: Tensor  # [T, R] requests
    rate_rps: Tensor  # [T, R], offered to the whole service in the tick that follows
    merit: Tensor  # [T, R], logarithm of what speaks for building there
    slowness: Tensor  # [T, R], as measured
    late: Tensor  # [T, R], share late without waiting, as measured
    slower: Tensor  # [T, R], times as slow as in the profile, in truth
    choice: Tensor  # [R, CHOICES]
    held: Tensor  # [R]
    past: Tensor  # [LONGEST_STARTUP_TICKS, R]

    @property
    def decision_ticks(self) -> int:
        """Ticks from one decision to the next."""
        return len(self.rate_rps) // len(self.fresh)

    def of(self, services: Tensor) -> Recording:
        """The same for some of the services."""
        rows = (services[:, None] * self.backends + torch.arange(self.backends)).flatten()

        def column(name: str, value: Any) -> Any:
            if name in ("tick_s", "backends"):
                return value
            if name == "facts":
                return Facts(*(fact[:, rows] for fact in value))
            return value[rows] if name in ("choice", "held") else value[:, rows]

        return Recording(*(column(*field) for field in self._asdict().items()))


def distributions(logits: Tensor) -> list[Tensor]:
    """Each choice's probabilities, from logits ``[..., CHOICES]``."""
    return [torch.softmax(part, -1) for part in torch.split(logits, list(ACTION_DIMS), -1)]


def costs(logits: Tensor, seen: Recording) -> Tensor:
    """Score of every service and tick ``[T, B]``, fleet + lambda x miss, had the policy chosen so.

    ``logits`` ``[D, R, CHOICES]``; differentiable in them.
    """
    facts = seen.facts.per_tick(seen.decision_ticks)
    choice = _acting(logits, seen)
    wanted = _wanted(choice, seen, facts)
    ready = _ready(wanted, seen, facts)
    rate_rps = seen.rate_rps * _routed(choice, ready, seen, facts)
    miss = _misses(ready, rate_rps, seen, facts) * rate_rps / facts.mean_rps
    return _per_service(wanted * facts.replica_price + facts.miss_price * miss, seen).sum(2)


def _per_service(rows: Tensor, seen: Recording) -> Tensor:
    """``[.., R]`` as ``[.., B, K]``."""
    return rows.reshape(*rows.shape[:-1], -1, seen.backends)


def _acting(logits: Tensor, seen: Recording) -> Tensor:
    """Choices as they act, ``[D, R, CHOICES]``."""
    chosen = torch.cat(distributions(logits), 2)
    neutral = torch.as_tensor(one_hot(np.array(NEUTRAL)), dtype=torch.float32)
    return _glide(chosen, seen.choice, seen.fresh, neutral)


def _wanted(choice: Tensor, seen: Recording, facts: Facts) -> Tensor:
    """Replicas wanted in every tick, ``[T, R]``: the rule of `trimtab_envs.action` again."""
    mixture, headroom, hold, lean, _, wait = torch.split(choice, list(ACTION_DIMS), dim=2)

    base = torch.as_tensor(base_headroom(seen.facts.miss_price.numpy()))
    headroom_now = torch.exp(headroom @ _table(np.log(HEADROOMS))) * base
    holds_s = _table(HOLD_SECONDS) + _table(HOLD_STARTUPS) * seen.facts.startup_s[..., None]
    keep = torch.exp(-seen.tick_s / torch.exp((hold * torch.log(holds_s)).sum(2)))

    ticks = seen.decision_ticks
    leans = (lean @ _table(np.log(LEANS))).repeat_interleave(ticks, 0)
    share = torch.softmax(_per_service(seen.merit + leans, seen), 2).flatten(1)
    room_rps = facts.max_replicas * facts.replica_rps
    waits = (wait @ _table(WAITS)).repeat_interleave(ticks, 0)
    mixed = (seen.estimates * mixture.repeat_interleave(ticks, 0)).sum(2)
    backlog = seen.backlog / torch.clamp(facts.startup_s, min=1.0)
    work_rps = mixed * share * headroom_now.repeat_interleave(ticks, 0) + backlog
    bare_rps = BARE * seen.present * share
    target, bare = (
        torch.minimum(_spilled(rps, room_rps, seen) / facts.replica_rps, facts.max_replicas)
        for rps in (work_rps, bare_rps)
    )
    return _held(
        target,
        bare,
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
    """Ticks that begin an episode, ``[T, R]``."""
    first = torch.zeros(seen.rate_rps.shape, dtype=torch.bool)
    first[:: seen.decision_ticks] = seen.fresh
    return first


def _glide(chosen: Tensor, choice: Tensor, fresh: Tensor, neutral: Tensor) -> Tensor:
    """Choices as they act, ``[D, R, CHOICES]``."""
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
        # What an episode opens with is let go like anything else.
        held = torch.where(begins, opening[tick], held)
        wanted = torch.where(begins, opening[tick], wanted)
        held = torch.maximum(aim, aim + keeps[tick] * (held - aim))
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
    """Replicas ready in every tick, ``[T, R]``: the least that were wanted for a start-up."""
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
    """Least of the last ``length`` ``[T, R]`` values at each of the last T rows of ``values``."""
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


def _routed(choice: Tensor, ready: Tensor, seen: Recording, facts: Facts) -> Tensor:
    """Share of the route in every tick, ``[T, R]``: `trimtab_envs.merit` again."""
    if seen.backends == 1:
        return torch.ones_like(ready)
    tilt = torch.split(choice, list(ACTION_DIMS), dim=2)[4] @ _table(np.log(TILTS))
    capacity_rps = ready * facts.replica_rps / seen.slowness
    liking = tilt.repeat_interleave(seen.decision_ticks, 0) - STRICTNESS * seen.late
    preferred = _share(capacity_rps * torch.exp(liking), seen)
    present = _per_service(seen.present, seen).max(2, keepdim=True).values
    load = (_per_service(preferred, seen) * present.clamp(min=SOME_RPS)).flatten(1)
    return _share(_spilled(load, FULL * capacity_rps, seen), seen)


def _share(parts: Tensor, seen: Recording) -> Tensor:
    """Each backend's part of its service's, ``[T, R]``."""
    by_service = _per_service(parts, seen)
    return (by_service / by_service.sum(2, keepdim=True).clamp(min=TINY)).flatten(1)


def _spilled(load: Tensor, room: Tensor, seen: Recording) -> Tensor:
    """`trimtab_envs.merit.spilled` again, ``[T, R]``."""
    if seen.backends == 1:
        return load
    load, room = _per_service(load, seen), _per_service(room, seen)
    total, whole = load.sum(2, keepdim=True), room.sum(2, keepdim=True)
    over, spare = torch.relu(load - room), torch.relu(room - load)
    part = over.sum(2, keepdim=True) / spare.sum(2, keepdim=True).clamp(min=TINY)
    by_room = room * (total / whole.clamp(min=TINY))
    return torch.where(total < whole, load - over + spare * part, by_room).flatten(1)


def _misses(ready: Tensor, rate_rps: Tensor, seen: Recording, facts: Facts) -> Tensor:
    """Share of each tick's requests that are late, ``[T, R]``."""
    service_s = facts.service_time_s * seen.slower
    capacity = torch.clamp(ready, min=0.5) * facts.replica_rps / seen.slower
    excess = (rate_rps - capacity) * seen.tick_s
    queue = _queue(excess, facts.timeout_s * capacity, _first_ticks(seen))
    before, after = queue[:-1] / capacity, queue[1:] / capacity
    before = torch.where(_first_ticks(seen), torch.zeros_like(before), before)

    load = torch.clamp(rate_rps / capacity, 0.01, 0.999)
    servers = facts.slots * torch.clamp(ready, min=1.0) ** POOLING
    # Sakasegawa's approximation of Erlang's C; above it the wait is exponential.
    waits = torch.exp(torch.log(load) * (torch.sqrt(2.0 * (servers + 1.0)) - 1.0))
    decay = 2.0 / (1.0 + facts.service_scv) * (1.0 - load) * servers / service_s
    slack_s = torch.maximum(facts.slo_latency_s - service_s, 0.1 * facts.slo_latency_s)
    late = torch.zeros_like(load)
    for place in LOOKS:
        wait_s = before + (after - before) * place
        behind = (torch.sigmoid((wait_s / slack_s - 1.0) / SOFTNESS) - NO_WAIT) / (1.0 - NO_WAIT)
        unlucky = waits * torch.exp(-decay * torch.relu(slack_s - wait_s))
        late = late + (behind + (1.0 - behind) * unlucky) / len(LOOKS)
    return late + (1.0 - late) * _avoidably_late(service_s, seen, facts)


def _avoidably_late(service_s: Tensor, seen: Recording, facts: Facts) -> Tensor:
    """Share late without waiting, beyond what the service's best backend has, ``[T, R]``."""
    late = _tail(facts.slo_latency_s / service_s, facts.service_scv)
    by_service = _per_service(late, seen)
    return (by_service - by_service.min(2, keepdim=True).values).flatten(1)


def _tail(times_mean: Tensor, scv: Tensor) -> Tensor:
    """`trimtab_envs.merit.tail` again."""
    deviations = (times_mean ** (1 / 3) - (1.0 - scv / 9.0)) / torch.sqrt(scv / 9.0)
    return torch.sigmoid(-1.5976 * deviations - 0.07056 * deviations**3)


def _queue(excess: Tensor, most: Tensor, first: Tensor) -> Tensor:
    queue = torch.zeros_like(excess[0])
    found = [queue]
    excesses, limits = excess.unbind(0), most.unbind(0)
    for tick in range(len(excesses)):
        queue = torch.where(first[tick], torch.zeros_like(queue), queue)
        queue = torch.minimum(torch.relu(queue + excesses[tick]), limits[tick])
        found.append(queue)
    return torch.stack(found)
