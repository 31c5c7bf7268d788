"""What an experiment looks for: little cost and few misses, as the score J has them together."""

from __future__ import annotations

import math
from collections.abc import Mapping

from trimtab_agents.search import Tried, Trying
from trimtab_controller.experimenter.spec import REPLICAS, ExperimentSpec
from trimtab_proto.v1 import controller_pb2 as pb

# A setting and its value, and the number of replicas.
Choice = Mapping[str, float]


def chosen(of: Trying | Tried) -> Choice:
    """What a trial is of; all of it is numbers."""
    return {name: float(value) for name, value in of.choice.items()}


def price(spec: ExperimentSpec, choice: Choice) -> float:
    """How dear a replica is, as it is tuned, by one that costs nothing more."""
    return 1.0 + sum(share * choice[name] for name, share in spec.prices.items())


def score(spec: ExperimentSpec, choice: Choice, result: pb.VariantResult) -> float:
    """J: fleet and misses at their price; lower is better. Infinite for what broke down."""
    if result.crashed or not result.requests:
        return math.inf
    misses = result.misses / result.requests
    return result.fleet * price(spec, choice) + spec.miss_price * misses


def told(choice: Choice) -> str:
    """A choice in words."""
    return " ".join(f"{name}={value:g}" for name, value in choice.items())


def variant(name: str, choice: Choice) -> pb.Variant:
    """A choice as the daemon is asked for it."""
    settings = {key: value for key, value in choice.items() if key != REPLICAS}
    return pb.Variant(name=name, replicas=round(choice[REPLICAS]), settings=settings)
