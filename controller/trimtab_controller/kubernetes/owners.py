"""Who else steers a target: two hands on one rudder only fight, so trimtab lets go and says why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from trimtab_controller.config import BackendSpec
from trimtab_controller.kubernetes.objects import Autoscaler, Owner, Reference
from trimtab_controller.kubernetes.spec import Acting, TargetSpec


def pointed(target: TargetSpec) -> Reference:
    """How others refer to a target."""
    return Reference(target.api_version.rpartition("/")[0], target.kind, target.name)


def rivals(
    backend: BackendSpec,
    target: TargetSpec,
    scalers: Sequence[Autoscaler],
    owners: Iterable[Owner],
) -> Iterator[str]:
    """Why trimtab must not write to a backend, in words; the others are those of its ``target``."""
    for owner in owners:
        if not owner.idle:
            yield f"{owner.kind} {owner.meta.name} owns {target}: remove one of the two"
            return
    yield from _by_autoscaler(backend, target, scalers)


def _by_autoscaler(
    backend: BackendSpec, target: TargetSpec, scalers: Sequence[Autoscaler]
) -> Iterator[str]:
    names = " and ".join(f"HorizontalPodAutoscaler {each.meta.name}" for each in scalers)
    if backend.act is Acting.SCALE:
        if scalers:
            yield f"{names} owns {target}: write `act: floor`, or remove it"
    elif not scalers:
        yield (
            f"no HorizontalPodAutoscaler scales {target}: `trimtab install` makes one, or write "
            "`act: scale`"
        )
    elif len(scalers) > 1:
        yield f"{names} both own {target}: remove one"
