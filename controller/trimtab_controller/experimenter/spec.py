"""The FILE of an experiment: what may be tried, what it is worth, and how far it may go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from trimtab_agents.search import Dial, Space
from trimtab_controller.variants.messages import WARNING
from trimtab_controller.variants.plan import LONGEST_S, MOST_VARIANTS
from trimtab_sim.schema import ConfigError, Count, NotNegative, Positive, Range, Share, read_file

REPLICAS = "replicas"


@dataclass(frozen=True, slots=True)
class LimitsSpec:
    """How far it may go: ``replicas`` beside the service's own, copies for a ``share`` of it.

    One run of the search may take so many ``minutes``.
    """

    replicas: Count = 4
    share: Share = 0.3
    minutes: Positive = 30.0


@dataclass(frozen=True, slots=True)
class ExperimentSpec:
    """Which of the ``settings`` of a ``backend`` are best, and with how many ``replicas``.

    Every variant gets copies of ``rate_rps``, of which ``requests`` are measured. ``prices`` say
    by what share one more of a setting makes a replica dearer; a miss costs ``miss_price``. At
    most ``trials`` are made, ``together`` of them at once. ``now`` is what is set at present.
    """

    name: str
    service: str
    backend: str
    settings: Mapping[str, tuple[float, ...]]
    rate_rps: Positive
    now: Mapping[str, float]
    safeToMirror: bool = False  # noqa: N815  # as Kubernetes' users write it
    replicas: tuple[Count, ...] = (1,)
    prices: Mapping[str, NotNegative] = field(default_factory=dict)
    miss_price: Annotated[float, Range(least=1.0, most=1000.0)] = 50.0
    trials: Count = 20
    together: Annotated[int, Range(least=1, most=MOST_VARIANTS)] = 3
    requests: Count = 600
    settle_s: NotNegative = 5.0
    seconds: Annotated[float, Range(least=1.0, most=LONGEST_S)] = 120.0
    limits: LimitsSpec = LimitsSpec()

    def __post_init__(self) -> None:
        if REPLICAS in self.settings:
            raise ValueError(f"settings.{REPLICAS}: write `replicas: […]` beside the settings")
        if unknown := sorted(self.prices.keys() - self.settings.keys()):
            raise ValueError(f"prices.{unknown[0]}: must be one of {', '.join(self.settings)}")
        self._check_choices()
        if max(self.replicas) > self.limits.replicas:
            raise ValueError(
                f"replicas: {max(self.replicas)} is more than limits.replicas, "
                f"{self.limits.replicas}: raise the limit, or try fewer"
            )
        if self.settle_s >= self.seconds:
            raise ValueError(f"settle_s: must be less than seconds, {self.seconds:g}")

    def _check_choices(self) -> None:
        for name, values in self.choices.items():
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: a value is listed twice: remove one")
            if self.now.get(name) not in values:
                raise ValueError(
                    f"now.{name}: must be what is set at present, one of "
                    f"{', '.join(f'{value:g}' for value in values)}"
                )
        if unknown := sorted(self.now.keys() - self.choices.keys()):
            raise ValueError(f"now.{unknown[0]}: must be one of {', '.join(self.choices)}")

    @property
    def choices(self) -> dict[str, tuple[float, ...]]:
        """What may be chosen, the number of replicas included, from least to most."""
        settings = {name: tuple(sorted(values)) for name, values in self.settings.items()}
        return {**settings, REPLICAS: tuple(sorted(self.replicas))}


def space(spec: ExperimentSpec) -> Space:
    """What the search may choose from."""
    return Space({name: Dial(values) for name, values in spec.choices.items()})


def load(file: Path) -> ExperimentSpec:
    """Read and check ``file``; `ConfigError`, also where nothing may be mirrored."""
    spec = read_file(file, ExperimentSpec)
    if not spec.safeToMirror:
        raise ConfigError(f"{file}: safeToMirror: must be true: {WARNING}")
    return spec
