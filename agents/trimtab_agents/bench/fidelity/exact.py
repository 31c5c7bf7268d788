"""What queueing theory knows exactly: M/M/c, and the mean wait of M/G/1.

Waits in service times; a request is late when wait and service together exceed the SLO.
"""

from __future__ import annotations

from math import exp, factorial


def erlang_c(slots: int, offered: float) -> float:
    """P(wait) of M/M/c, by its definition; ``offered`` is the mean number of busy slots."""
    full = offered**slots / factorial(slots) / (1.0 - offered / slots)
    return full / (full + sum(offered**k / factorial(k) for k in range(slots)))


def mmc_wait(slots: int, utilisation: float) -> float:
    """Mean wait of M/M/c."""
    return erlang_c(slots, slots * utilisation) / (slots * (1.0 - utilisation))


def mmc_late(slots: int, utilisation: float, slo: float) -> float:
    """P(wait + service > ``slo`` service times) of M/M/c: waits are 0 or exponential."""
    chance = erlang_c(slots, slots * utilisation)
    rate = slots * (1.0 - utilisation)
    if rate == 1.0:
        both = (1.0 + slo) * exp(-slo)
    else:
        both = (rate * exp(-slo) - exp(-rate * slo)) / (rate - 1.0)
    return (1.0 - chance) * exp(-slo) + chance * both


def mg1_wait(scv: float, utilisation: float) -> float:
    """Mean wait of M/G/1 (Pollaczek and Khinchine)."""
    return utilisation / (1.0 - utilisation) * (1.0 + scv) / 2.0
