"""What can be chosen: a few dials, each with a few settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from trimtab_sim.profile import Floats

Value = float | int | str
Choice = Mapping[str, Value]
# So many choices are all weighed before each trial; of more, this many are drawn.
ALL = 4096


class SpaceError(ValueError):
    """A space or a choice that cannot be; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Dial:
    """The settings of one dial.

    ordered: neighbours are alike (numbers, from least to most, as far apart as they are in the
    list: 4, 16, 64 for a dial that matters by ratios); otherwise each is a kind of its own.
    """

    values: tuple[Value, ...]
    ordered: bool = True

    def __post_init__(self) -> None:
        if not self.values or len(set(self.values)) < len(self.values):
            raise SpaceError(f"a dial needs settings that differ, not {list(self.values)}")

    def apart(self, one: Floats, other: Floats) -> Floats:
        """How far settings, given by their places, are apart: 1 from the first to the last."""
        distance = np.abs(one - other)
        return distance / max(len(self.values) - 1, 1) if self.ordered else np.sign(distance)


@dataclass(frozen=True, slots=True)
class Space:
    """Dials by name."""

    dials: Mapping[str, Dial]

    @property
    def size(self) -> int:
        """How many choices there are."""
        return prod(len(dial.values) for dial in self.dials.values())

    def places(self, choice: Choice) -> tuple[int, ...]:
        """Where each dial's setting stands in its list. Raises `SpaceError`."""
        if choice.keys() != self.dials.keys():
            raise SpaceError(f"a choice sets {', '.join(self.dials)}, not {', '.join(choice)}")
        for name, value in choice.items():
            if value not in self.dials[name].values:
                known = ", ".join(f"{each}" for each in self.dials[name].values)
                raise SpaceError(f"{name} cannot be {value}: give one of {known}")
        return tuple(dial.values.index(choice[name]) for name, dial in self.dials.items())

    def choice(self, places: tuple[int, ...]) -> dict[str, Value]:
        """The choice whose dials are set so."""
        dials = self.dials.items()
        return {name: dial.values[place] for (name, dial), place in zip(dials, places, strict=True)}

    def apart(self, ones: Floats, others: Floats) -> Floats:
        """How far choices are apart, dial by dial: shape [dial, one, other].

        ones, others: places, shape [choice, dial].
        """
        pairs = zip(self.dials.values(), ones.T, others.T, strict=True)
        return np.stack([dial.apart(one[:, None], other[None]) for dial, one, other in pairs])

    def candidates(
        self, known: set[tuple[int, ...]], near: tuple[int, ...], rng: np.random.Generator
    ) -> list[tuple[int, ...]]:
        """Choices but for those known: all, or of too many some, with those ``near`` another."""
        counts = [len(dial.values) for dial in self.dials.values()]
        if self.size <= ALL:
            found = set(product(*map(range, counts)))
        else:
            found = set(map(tuple, rng.integers(counts, size=(ALL, len(counts))).tolist()))
            found |= set(_neighbours(near, counts))
        return sorted(found - known)


def _neighbours(places: tuple[int, ...], counts: list[int]) -> Iterator[tuple[int, ...]]:
    """Those that set one dial otherwise."""
    for dial, count in enumerate(counts):
        for place in range(count):
            yield (*places[:dial], place, *places[dial + 1 :])
