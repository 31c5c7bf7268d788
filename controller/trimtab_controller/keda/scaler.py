"""KEDA's `externalscaler.ExternalScaler`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc

from trimtab_controller.keda.decision import replicas
from trimtab_controller.keda.decisions import Decisions
from trimtab_controller.keda.trigger import Trigger, read
from trimtab_controller.protocols import Clock
from trimtab_controller.refusals import InDoubtError, InvalidRequest
from trimtab_proto.v1 import externalscaler_pb2 as pb
from trimtab_proto.v1 import externalscaler_pb2_grpc

# How often a stream looks whether anything has changed.
LOOK_S = 1.0

Context = grpc.aio.ServicerContext[Any, Any]


class ExternalScaler(externalscaler_pb2_grpc.ExternalScalerServicer):  # type: ignore[misc]  # untyped stubs
    """Answers from the last decisions, in the event loop, without waiting for any lock."""

    def __init__(self, decisions: Decisions, clock: Clock) -> None:
        self._decisions = decisions
        self._clock = clock

    async def IsActive(self, request: pb.ScaledObjectRef, context: Context) -> pb.IsActiveResponse:
        """Whether there should be any replica at all."""
        return pb.IsActiveResponse(result=self._active(self._trigger(request)))

    async def StreamIsActive(
        self, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[pb.IsActiveResponse]:
        """The same now, and whenever it changes."""
        told: bool | None = None
        while True:
            active = self._active(self._trigger(request))
            if active != told:
                told = active
                yield pb.IsActiveResponse(result=active)
            await asyncio.sleep(LOOK_S)

    async def GetMetricSpec(
        self, request: pb.ScaledObjectRef, context: Context
    ) -> pb.GetMetricSpecResponse:
        """Name and target of the metric, once the metadata makes sense."""
        return _spec(self._trigger(request))

    async def StreamMetricSpec(
        self, request: pb.ScaledObjectRef, context: Context
    ) -> AsyncIterator[pb.GetMetricSpecResponse]:
        """The same, on a stream that stays open."""
        spec = _spec(self._trigger(request))
        yield spec
        await asyncio.get_running_loop().create_future()

    async def GetMetrics(
        self, request: pb.GetMetricsRequest, context: Context
    ) -> pb.GetMetricsResponse:
        """The number of the last decision."""
        trigger = self._trigger(request.scaledObjectRef)
        name = trigger.metric_name
        if request.metricName != name:
            raise InvalidRequest("metricName", f"{request.metricName!r} must be {name!r}")
        count = self._replicas(trigger)
        value = pb.MetricValue(metricName=name, metricValue=count, metricValueFloat=count)
        return pb.GetMetricsResponse(metricValues=[value])

    def _trigger(self, ref: pb.ScaledObjectRef) -> Trigger:
        return read(ref.scalerMetadata, self._decisions.configs)

    def _replicas(self, trigger: Trigger) -> int:
        if self._decisions.stopped:
            raise InDoubtError("STOPPED", "trimtab is stopped: `trimtab resume` first")
        return replicas(trigger, self._decisions.tick(trigger.service.name), self._clock())

    def _active(self, trigger: Trigger) -> bool:
        try:
            return self._replicas(trigger) > 0
        except InDoubtError:
            return True


def _spec(trigger: Trigger) -> pb.GetMetricSpecResponse:
    spec = pb.MetricSpec(metricName=trigger.metric_name, targetSize=1, targetSizeFloat=1.0)
    return pb.GetMetricSpecResponse(metricSpecs=[spec])
