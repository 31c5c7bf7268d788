"""The xDS server: tells Envoy what it should be, and knows what Envoy has acknowledged.

One stream (ADS, state of the world) for one Envoy. A restarted Envoy opens a new stream and gets
what is present on it, so nothing else needs to know of the restart. An Envoy that only lost its
stream, to this control plane or to the one before it, says which versions it has: they are named
after what is in them, so what has not changed is not sent again, and traffic never notices.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from asyncio import Future, Queue
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.protobuf import any_pb2
from google.protobuf.message import Message

log = logging.getLogger(__name__)


class NackError(Exception):
    """Envoy refused a version, with this message, and keeps the last one that it took."""


@dataclass(slots=True)
class Offer:
    """One version of all resources of a type; ``acked`` ends with Envoy's ACK or `NackError`."""

    version: str
    resources: list[any_pb2.Any]
    acked: Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass(slots=True)
class Stream:
    """What Envoy subscribed to and was last sent, per type, on its present connection."""

    outbox: Queue[DiscoveryResponse | None] = field(default_factory=Queue)
    names: dict[str, set[str]] = field(default_factory=dict)
    nonces: dict[str, str] = field(default_factory=dict)


class Ads(ads_pb2_grpc.AggregatedDiscoveryServiceServicer):  # type: ignore[misc] # untyped stubs
    """Offers resources by type URL.

    A NACK is logged, and what Envoy took last stays. One where there is no such thing, so that
    Envoy has nothing, goes to ``nacks`` as (type URL, Envoy's message).
    """

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}
        # What Envoy took last.
        self._good: dict[str, Offer] = {}
        self.nacks: Queue[tuple[str, str]] = Queue()
        self._stream = Stream()
        self._numbers = count(1)

    def offer(self, type_url: str, resources: list[Message]) -> Future[None]:
        """Replace all resources of a type; the future ends at Envoy's ACK, or in `NackError`.

        It never ends when Envoy refuses the first version of all.
        """
        packed = [any_pb2.Any() for _ in resources]
        for slot, resource in zip(packed, resources, strict=True):
            slot.Pack(resource, deterministic=True)
        offer = self._offers[type_url] = Offer(_version(packed), packed)
        if type_url in self._stream.names:
            self._send(type_url, self._stream)
        return offer.acked

    async def StreamAggregatedResources(  # noqa: N802 # gRPC's name
        self,
        request_iterator: AsyncIterator[DiscoveryRequest],
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 # gRPC's signature
    ) -> AsyncIterator[DiscoveryResponse]:
        """Serve one Envoy until it goes."""
        stream = self._stream = Stream()
        listening = asyncio.create_task(self._listen(request_iterator, stream))
        try:
            while (response := await stream.outbox.get()) is not None:
                yield response
        finally:
            listening.cancel()

    async def _listen(self, requests: AsyncIterator[DiscoveryRequest], stream: Stream) -> None:
        async for request in requests:
            self._hear(request, stream)
        stream.outbox.put_nowait(None)

    def _hear(self, request: DiscoveryRequest, stream: Stream) -> None:
        """Answer a subscription, or note an ACK or NACK; one that answers older news is void."""
        kind, names = request.type_url, set(request.resource_names)
        if self._resumes(request):
            stream.names[kind] = names
            self._settle(kind, request)
        elif not request.response_nonce or names != stream.names.get(kind):
            stream.names[kind] = names
            self._send(kind, stream)
        elif request.response_nonce == stream.nonces.get(kind):
            self._settle(kind, request)

    def _resumes(self, request: DiscoveryRequest) -> bool:
        """Whether a new stream begins with what Envoy has already."""
        offer = self._offers.get(request.type_url)
        is_first = not request.response_nonce
        return is_first and offer is not None and request.version_info == offer.version

    def _send(self, kind: str, stream: Stream) -> None:
        if kind not in self._offers:
            return
        offer = self._offers[kind]
        stream.nonces[kind] = str(next(self._numbers))
        response = DiscoveryResponse(
            version_info=offer.version,
            resources=offer.resources,
            type_url=kind,
            nonce=stream.nonces[kind],
        )
        stream.outbox.put_nowait(response)

    def _settle(self, kind: str, request: DiscoveryRequest) -> None:
        offer = self._offers[kind]
        if request.HasField("error_detail"):
            self._refuse(kind, offer, request.error_detail.message)
            return
        self._good[kind] = offer
        if not offer.acked.done():
            offer.acked.set_result(None)

    def _refuse(self, kind: str, offer: Offer, message: str) -> None:
        """Fall back on the last good version, which is what Envoy has."""
        good = self._good.get(kind, offer)
        if good is offer:
            self.nacks.put_nowait((kind, message))
            return
        log.warning(
            "Envoy refused version %s of %s and keeps %s: %s",
            offer.version,
            kind.rpartition(".")[2],
            good.version,
            message,
        )
        self._offers[kind] = good
        if not offer.acked.done():
            offer.acked.set_exception(NackError(message))


def _version(resources: Sequence[any_pb2.Any]) -> str:
    """The same resources have the same version, whoever offers them and however often."""
    digest = hashlib.sha256()
    for resource in resources:
        digest.update(resource.SerializeToString(deterministic=True))
    return digest.hexdigest()[:12]
