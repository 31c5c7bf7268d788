"""Services that call others: load flows down the graph, time flows up.

A request holds its slot until the slowest of its calls, all sent at once, has answered. So a
service that calls is one whose service time includes the answers: the surrogate delays of
layered queueing networks (Rolia and Sevcik, "The Method of Layers", 1995). And what waits for
an answer is in a slot: no more can be on its way to a callee than its callers have slots. So
where a callee cannot carry what it is asked for, callers slow down to its pace, and the queue
that it would have had stands in front of them: the bounds of closed queueing networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from math import lgamma

import numpy as np
from numpy.typing import NDArray

from trimtab_sim.profile import Floats

Rows = NDArray[np.bool_]

# Weibull shapes by their coefficient of variation: a time that sums service and wait is near
# one, and the slowest of several is then a product away.
_SHAPES = np.geomspace(12.0, 0.35, 200)
_GAMMA_1, _GAMMA_2 = (
    np.exp([lgamma(1.0 + power / shape) for shape in _SHAPES]) for power in (1.0, 2.0)
)
_CVS = np.sqrt(_GAMMA_2 / _GAMMA_1**2 - 1.0)
# Times, in units of the longest mean, at which distributions are compared, and their spacing.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(32)
_PART = 0.5 * (_NODES + 1.0)
_TIMES = (_PART / (1.0 - _PART)) ** 1.5
_STEPS = 0.5 * _WEIGHTS * 1.5 * np.sqrt(_PART / (1.0 - _PART)) / (1.0 - _PART) ** 2
# How sharply throughput bends from the bound of the caller's slots into that of its callee, by
# the slots of one of the callee's replicas, where its queues are: fitted to ``event_calls`` at 1,
# 4 and 16 of them.
_SHARPNESS, _SHARPNESS_POWER = 2.0, 0.8
# Of a callee that requests from outside have filled up.
_LEAST_PART = 0.05
_PLENTY_RPS = 1e12


def slowest(calls: Floats, mean_s: Floats, variance: Floats) -> tuple[Floats, Floats]:
    """Mean and variance of the time until all calls are answered, seconds, ``[C]``.

    ``calls`` ``[C, D]`` per request: below 1 a chance, above 1 so many at once; answers take
    ``mean_s`` ``[C, D]`` with ``variance``, independent of each other.
    """
    mean_s = np.maximum(mean_s, 1e-9)
    cv = np.sqrt(variance) / mean_s
    shape = np.interp(cv, _CVS, _SHAPES)
    scale_s = mean_s / np.interp(cv, _CVS, _GAMMA_1)
    unit_s = np.where(calls > 0.0, mean_s, 0.0).max(1)
    times_s = unit_s[:, None, None] * _TIMES
    answered = -np.expm1(-((times_s / scale_s[..., None]) ** shape[..., None]))
    chance = np.minimum(calls, 1.0)[..., None]
    by_then = (1.0 - chance * (1.0 - answered)) ** np.maximum(calls, 1.0)[..., None]
    longer = 1.0 - by_then.prod(1)
    mean = unit_s * (longer @ _STEPS)
    square = 2.0 * unit_s**2 * (longer @ (_STEPS * _TIMES))
    return mean, np.maximum(square - mean**2, 0.0)


@dataclass(frozen=True, slots=True)
class Stations:
    """What of S services of C clusters matters to who calls them; all ``[C, S]``.

    ``slots`` of all ready replicas and of each ``replica``; own ``service_s`` with ``variance``;
    ``wait_s`` before it and ``in_flight``, over the last tick; ``failing``, the share that finds
    no ready replica.
    """

    slots: Floats
    replica_slots: Floats
    service_s: Floats
    variance: Floats
    wait_s: Floats
    in_flight: Floats
    failing: Floats


@dataclass(frozen=True, slots=True)
class Flow:
    """What calls make of a tick; all ``[C, S]``.

    ``rate_rps`` reaches a service in all, of which ``carried_rps`` can be served; a request
    spends ``answer_s`` with ``variance`` on its calls; ``failing``: the share with a failed call.
    """

    rate_rps: Floats
    carried_rps: Floats
    answer_s: Floats
    variance: Floats
    failing: Floats


class CallGraph:
    """``calls`` ``[C, S, S]``: how often a request of one service calls each later one.

    ``ValueError`` when one calls itself or an earlier one.
    """

    def __init__(self, calls: Floats) -> None:
        calls = np.asarray(calls, dtype=np.float64)
        square = calls.ndim == 3 and calls.shape[1] == calls.shape[2]
        if not square or np.tril(calls).any() or not (calls >= 0.0).all():
            raise ValueError("calls must be [C, S, S], not negative, and go to later services only")
        self.calls = calls
        self._order = range(calls.shape[1])
        self._callers = [np.flatnonzero(calls[:, service].any(1)) for service in self._order]
        # So many calls are on their way at most per slot of the caller.
        self._per_slot = np.where(calls > 0.0, np.maximum(calls, 1.0), 0.0)
        # Callees before their callers.
        pairs = [pair for pair in combinations(self._order, 2) if calls[:, *pair].any()]
        self._pairs = pairs[::-1]

    def total(self, entering: Floats) -> Floats:
        """What reaches each service when all of ``entering`` ``[C, S]`` is served."""
        return self._through(entering, np.full_like(entering, np.inf))

    def _through(self, entering: Floats, most: Floats) -> Floats:
        """What each serves of what reaches it when it can serve ``most``."""
        served = entering.copy()
        for caller in self._order:
            served[:, caller] = np.minimum(served[:, caller], most[:, caller])
            served += served[:, caller, None] * self.calls[:, caller]
        return served

    def answers(self, here: Stations, wait_s: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of how long requests wait for their calls, the last service first.

        ``wait_s`` ``[C, S]`` is how long those wait who are called.
        """
        answer, answer_var, response, response_var = np.zeros((4, *wait_s.shape))
        # A refusal comes at once.
        up = here.slots > 0.0
        for service in reversed(self._order):
            callers = self._callers[service]
            if len(callers):
                callees = (callers, slice(service + 1, None))
                calls = self.calls[:, service][callees]
                found = slowest(calls, response[callees], response_var[callees])
                answer[callers, service], answer_var[callers, service] = found
            mean = here.service_s + answer + wait_s
            spread = here.variance + answer_var + wait_s**2
            response[:, service] = (mean * up)[:, service]
            response_var[:, service] = (spread * up)[:, service]
        return answer, answer_var

    def flow(self, entering_rps: Floats, here: Stations, tick_s: float) -> Flow:
        """What ``entering_rps`` ``[C, S]`` from outside becomes in a tick that begins so."""
        queue_rps = np.maximum(here.in_flight - here.slots, 0.0) / tick_s
        demand = entering_rps + queue_rps
        outside, carried = self._pace(entering_rps, demand, here)
        served = self._through(demand, carried)
        called = self._asked(served).sum(1)
        answer_s, variance = self._bounded_answers(demand + called > carried, carried, here)
        surplus = self._surplus(served, 1.0 - outside, here)
        rate_rps = entering_rps + np.maximum(called - surplus / tick_s, 0.0)
        return Flow(rate_rps, carried, answer_s, variance, self._failing(here))

    def _pace(self, entering_rps: Floats, demand: Floats, here: Stations) -> tuple[Floats, Floats]:
        """Part of each one's requests that come from outside, and what it can serve."""
        nothing = np.zeros_like(self.calls)
        alone = self._carried(here.slots / here.service_s, nothing, entering_rps, here)
        sent = self._asked(self._through(demand, alone))
        outside = entering_rps / np.maximum(entering_rps + sent.sum(1), 1e-9)
        # Callers wait for other requests than their own as long as it takes.
        least_s, _ = self.answers(here, here.wait_s * outside)
        most = here.slots / (here.service_s + least_s)
        return outside, self._carried(most, sent, entering_rps, here)

    def _bounded_answers(
        self, is_full: Rows, carried: Floats, here: Stations
    ) -> tuple[Floats, Floats]:
        """Answers, by Little's law never longer than for all that callers can have sent."""
        answer_s, variance = self.answers(here, here.wait_s)
        longest_s = here.slots / np.maximum(carried, 1e-9) - here.service_s
        bounded_s = np.where(is_full, longest_s, np.minimum(answer_s, longest_s))
        return np.where(here.slots > 0.0, bounded_s, answer_s), variance

    def _asked(self, served: Floats) -> Floats:
        """Calls per second from each to each, ``[C, S, S]``."""
        return np.asarray(served[:, :, None] * self.calls)

    def _carried(self, most: Floats, sent: Floats, entering: Floats, here: Stations) -> Floats:
        """What each can serve at the pace of those that it calls, the last service first.

        ``most``: if they were never busy; ``sent`` ``[C, S, S]``: what all ask of them. Of what
        those from outside leave, a caller has what others do not ask for, or else its part by
        slots.
        """
        holds = here.slots[:, :, None] * self._per_slot
        part = holds / np.maximum(holds.sum(1, keepdims=True), 1e-9)
        others = sent.sum(1, keepdims=True) - sent
        sharpness = _SHARPNESS * here.replica_slots**_SHARPNESS_POWER
        carried = most.copy()
        for caller, callee in self._pairs:
            pair = (slice(None), caller, callee)
            capacity = carried[:, callee]
            open_rps = np.maximum(capacity - entering[:, callee], _LEAST_PART * capacity)
            left = np.maximum(open_rps - others[pair], part[pair] * open_rps)
            waits = (self.calls[pair] > 0.0) & (here.slots[:, callee] > 0.0)
            pace = np.where(waits, left / np.maximum(self.calls[pair], 1e-9), _PLENTY_RPS)
            low, high = np.sort([carried[:, caller], pace], axis=0)
            bend = sharpness[:, callee]
            near = (low / np.maximum(high, 1e-9)) ** bend
            carried[:, caller] = low * (1.0 + near) ** (-1.0 / bend)
        return carried

    def _surplus(self, served: Floats, called: Floats, here: Stations) -> Floats:
        """Requests of callers that are at a callee without a slot to have come from.

        They came too early: a tick's rates are set before it is known what waits in it.
        """
        waiting = np.maximum(here.slots - served * here.service_s, 0.0)
        room = np.einsum("cs,csd->cd", waiting, self._per_slot)
        return np.asarray(np.maximum(here.in_flight * called - room, 0.0))

    def _failing(self, here: Stations) -> Floats:
        """Share of requests of which a call fails."""
        own, called = here.failing.copy(), np.zeros_like(here.failing)
        for service in reversed(self._order):
            fine = 1.0 - np.minimum(self.calls[:, service], 1.0) * own
            called[:, service] = 1.0 - fine.prod(1)
            own[:, service] = 1.0 - (1.0 - own[:, service]) * (1.0 - called[:, service])
        return called
