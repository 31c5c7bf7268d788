"""The control plane and a real Envoy under load: what it acknowledges, refuses, and resumes.

A thousand requests and more go through Envoy while its control plane refuses, ends and comes back.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc
from google.protobuf.message import Message

from trimtab_sim.profile import BackendProfile, Profile
from trimtab_stage.ads import Ads, NackError
from trimtab_stage.envoy import Envoy
from trimtab_stage.xds import LDS, RDS, WEIGHT_PARTS, Snapshot, listeners, resources

pytestmark = pytest.mark.stage

PROFILE = Profile("web", (BackendProfile("a"), BackendProfile("b")))
PATIENCE_S = 30.0


class Plane(Ads):
    """One life of the control plane; ``sent`` are the types that it sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[str] = []

    async def serve(self, path: Path) -> None:
        self.server = grpc.aio.server()
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, self.server)
        self.server.add_insecure_port(f"unix:{path}")
        await self.server.start()

    async def StreamAggregatedResources(self, requests: Any, context: Any) -> AsyncIterator[Any]:  # noqa: N802 # gRPC's name
        async for response in super().StreamAggregatedResources(requests, context):
            self.sent.append(response.type_url)
            yield response


@dataclass
class Field:
    """A real Envoy on ``port`` before two backends that say their names; requests all the time."""

    folder: Path
    port: int
    plane: Plane = field(default_factory=Plane)
    answers: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def offer(self, weight_a: float) -> dict[str, Awaitable[None]]:
        """Everything, with this share for backend a."""
        parts = {"a": round(weight_a * WEIGHT_PARTS), "b": round((1 - weight_a) * WEIGHT_PARTS)}
        sockets = {name: (str(self.folder / f"{name}.sock"),) for name in parts}
        snapshot = Snapshot(sockets, parts)
        everything = {LDS: listeners(PROFILE, self.port), **resources(snapshot, PROFILE)}
        return {kind: self.plane.offer(kind, wanted) for kind, wanted in everything.items()}

    async def ask(self) -> None:
        """One request after the other."""
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                writer.write(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
                head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
                writer.close()
            except OSError as error:
                head, body = repr(error), ""
            if head.startswith("HTTP/1.1 200"):
                self.answers.append(body)
            else:
                self.failures.append(head.partition("\r\n")[0])

    async def answered(self, count: int = 300) -> list[str]:
        """The answers to the next requests."""
        begun = len(self.answers)
        await eventually(lambda: len(self.answers) >= begun + count)
        return self.answers[begun:]

    async def replaced(self) -> Plane:
        """The control plane ends without a word, and another one begins where it was."""
        await self.plane.server.stop(None)
        self.plane = Plane()
        return self.plane


async def eventually(seen: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not seen():
            await asyncio.sleep(0.02)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


async def backend(name: str, path: Path) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (await reader.readline()).strip():
            pass
        reply = f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{name}"
        writer.write(reply.encode())
        writer.close()

    return await asyncio.start_unix_server(answer, path)


@asynccontextmanager
async def fielded(folder: Path) -> AsyncIterator[Field]:
    """All of it, with half of the route for each backend, and traffic flowing."""
    scene = Field(folder, free_port())
    servers = [await backend(name, folder / f"{name}.sock") for name in "ab"]
    offered = scene.offer(0.5)
    await scene.plane.serve(folder / "xds.sock")
    envoy = asyncio.create_task(Envoy(PROFILE, folder, str(folder / "xds.sock")).run())
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*offered.values())
    asking = asyncio.create_task(scene.ask())
    await eventually(lambda: bool(scene.answers))
    scene.failures.clear()  # the listener opens a moment after its ACK
    try:
        yield scene
    finally:
        for task in (asking, envoy):
            task.cancel()
        await asyncio.gather(asking, envoy, return_exceptions=True)
        await scene.plane.server.stop(None)
        for server in servers:
            server.close()


def bad_route() -> list[Message]:
    """Weights that sum to nothing, which Envoy takes from nobody."""
    return resources(Snapshot({}, {"a": 0, "b": 0}), PROFILE)[RDS]


def test_a_nack_is_logged_and_the_last_good_version_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with fielded(tmp_path) as scene:
            with pytest.raises(NackError, match="weight"):
                await asyncio.wait_for(scene.plane.offer(RDS, bad_route()), PATIENCE_S)
            assert {"a", "b"} == set(await scene.answered())
            await asyncio.wait_for(scene.offer(1.0)[RDS], PATIENCE_S)
            await scene.answered(20)
            assert set(await scene.answered()) == {"a"}
            assert scene.plane.nacks.empty()
            assert scene.failures == []

    asyncio.run(scenario())
    assert "Envoy refused version" in caplog.text
    assert "RouteConfiguration" in caplog.text
    assert "weight" in caplog.text


def test_what_was_never_good_is_for_the_stage_to_end_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        scene = Field(tmp_path, free_port())
        scene.offer(0.5)
        scene.plane.offer(RDS, bad_route())
        await scene.plane.serve(tmp_path / "xds.sock")
        envoy = asyncio.create_task(Envoy(PROFILE, tmp_path, str(tmp_path / "xds.sock")).run())
        kind, message = await asyncio.wait_for(scene.plane.nacks.get(), PATIENCE_S)
        assert (kind, "weight" in message) == (RDS, True)
        envoy.cancel()
        await asyncio.gather(envoy, return_exceptions=True)
        await scene.plane.server.stop(None)

    asyncio.run(scenario())


def test_a_new_control_plane_resumes_without_a_blip(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with fielded(tmp_path) as scene:
            plane = await scene.replaced()
            assert {"a", "b"} == set(await scene.answered())  # nobody steers, and all goes on
            offered = scene.offer(0.5)
            await plane.serve(tmp_path / "xds.sock")
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*offered.values())
            # It had all of that: nothing was sent.
            assert plane.sent == []
            await asyncio.wait_for(scene.offer(0.0)[RDS], PATIENCE_S)
            await scene.answered(20)
            assert set(await scene.answered()) == {"b"}
            assert scene.failures == []

    asyncio.run(scenario())


def test_what_changed_while_nobody_steered_is_sent_on_the_new_stream(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with fielded(tmp_path) as scene:
            plane = await scene.replaced()
            offered = scene.offer(1.0)
            await plane.serve(tmp_path / "xds.sock")
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.gather(*offered.values())
            assert plane.sent == [RDS]
            await scene.answered(20)
            assert set(await scene.answered()) == {"a"}
            assert scene.failures == []

    asyncio.run(scenario())
