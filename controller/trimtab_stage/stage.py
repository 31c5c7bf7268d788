"""The stage put together: starts every part, supervises them, ends them all.

One event loop runs the xDS server, the replicas' lives, the HPA and the API; Envoy, the replicas
and the load generator are processes of their own, and none of them can outlive this one.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import resource
import shutil
import signal
import socket
import tempfile
from asyncio import Task, TaskGroup
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, cast

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from trimtab_proto.v1 import stage_pb2_grpc
from trimtab_sim.traces import TraceError, read_trace
from trimtab_stage.ads import Ads
from trimtab_stage.cluster import TICK_S, Cluster
from trimtab_stage.config import SOCKET_PATH_MAX, StageConfig, StageError
from trimtab_stage.envoy import Envoy
from trimtab_stage.faults import Faults
from trimtab_stage.mirrors import LONGEST_VARIANT
from trimtab_stage.replay import Replay, plan
from trimtab_stage.service import SERVICE, Place, StageService
from trimtab_stage.traffic import Traffic
from trimtab_stage.xds import LDS, listeners

log = logging.getLogger(__name__)

HOST = "127.0.0.1"
OTHER_PORT = "choose another with --port, or --port 0 for any free one"


def serve(config: StageConfig) -> None:
    """Run a stage until SIGTERM or SIGINT; `StageError` when it cannot start or go on."""
    replay, port = _replay(config), _free_port(config.port)
    _raise_file_limit()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with _directory(config) as directory:
        try:
            asyncio.run(_serve(config, replay, port, directory))
        except ExceptionGroup as group:
            raise _cause(group) from group


async def _serve(config: StageConfig, replay: Replay, port: int, directory: Path) -> None:
    control = str(config.socket or directory / "stage.sock")
    server, alive = grpc.aio.server(), health.HealthServicer()
    try:
        async with TaskGroup() as tasks:
            _cancel_on_signal(cast(Task[None], asyncio.current_task()))
            ads = Ads()
            cluster = Cluster(config, directory, ads, tasks)
            traffic = Traffic(config, replay, port, directory, tasks)
            envoy = Envoy(config.profile, directory, control)

            faults = Faults(cluster.backends, envoy)
            stage = StageService(cluster, traffic, faults, Place(str(envoy.admin_socket), port))
            stage_pb2_grpc.add_StageServicer_to_server(stage, server)
            ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(ads, server)
            health_pb2_grpc.add_HealthServicer_to_server(alive, server)
            await _set_health(alive, serving=False)
            server.add_insecure_port(f"unix:{control}")
            await server.start()

            ads.offer(LDS, listeners(config.profile, port))
            cluster.start()
            tasks.create_task(envoy.run())
            tasks.create_task(_end_at_nack(ads, port))
            tasks.create_task(cluster.run())
            tasks.create_task(_open(cluster, traffic, alive))
            log.info("listening on http://%s:%d, steered at unix:%s", HOST, port, control)
    except asyncio.CancelledError:
        log.info("stopped by a signal")
    finally:
        await server.stop(grace=0)


async def _open(cluster: Cluster, traffic: Traffic, alive: Any) -> None:
    """Let the traffic in once somebody is there to serve it."""
    while not cluster.serves:
        await asyncio.sleep(TICK_S)
    await _set_health(alive, serving=True)
    log.info("serving, and replaying %s", traffic.replay.trace.name)
    await traffic.run()


async def _set_health(alive: Any, *, serving: bool) -> None:
    status = health_pb2.HealthCheckResponse
    for name in ("", SERVICE):
        await alive.set(name, status.SERVING if serving else status.NOT_SERVING)


async def _end_at_nack(ads: Ads, port: int) -> NoReturn:
    """End the stage when Envoy refuses what it is told and has nothing else to go by."""
    kind, message = await ads.nacks.get()
    if kind == LDS:
        raise StageError(f"Envoy cannot listen on {HOST}:{port}; {OTHER_PORT} ({message})")
    raise StageError(f"Envoy refused {kind}: {message}")


def _cancel_on_signal(task: Task[None]) -> None:
    """The first SIGTERM or SIGINT ends the stage; a second must not cut its ending short."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, lambda: None)
        task.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def _cause(group: ExceptionGroup[Exception]) -> Exception:
    """Return the first plain exception within nested groups."""
    first = group.exceptions[0]
    return _cause(first) if isinstance(first, ExceptionGroup) else first


def _replay(config: StageConfig) -> Replay:
    try:
        return plan(read_trace(config.trace), config.speed, config.start_s, config.peak_rps)
    except (TraceError, ValueError) as error:
        raise StageError(str(error)) from error


def _free_port(port: int) -> int:
    """Return ``port``, or any free one for 0; `StageError` when it cannot be listened on."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((HOST, port))
        except OSError as error:
            raise StageError(
                f"cannot listen on {HOST}:{port}: {error.strerror}; {OTHER_PORT}"
            ) from error
        free: int = sock.getsockname()[1]
        return free


def _raise_file_limit() -> None:
    """In an overload every request holds four descriptors, two of them in Envoy."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextmanager
def _directory(config: StageConfig) -> Iterator[Path]:
    """Own the state directory; a temporary one is kept only when the stage failed, for its logs."""
    # Absolute, because clients with another working directory are told paths within it.
    directory = (config.directory or Path(tempfile.mkdtemp(prefix="trimtab-"))).resolve()
    _check_lengths(config, directory)
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "stage.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(
                f"another stage runs in {directory}: stop it, or choose another --dir"
            ) from None
        _sweep(directory)  # what a killed stage left
        yield directory
        _sweep(directory)
    if config.directory is None:
        shutil.rmtree(directory)


def _sweep(directory: Path) -> None:
    for left_over in directory.glob("*.sock"):
        left_over.unlink()


def _check_lengths(config: StageConfig, directory: Path) -> None:
    """The longest socket path must fit where the kernel keeps it."""
    names = [*(backend.name for backend in config.profile.backends), LONGEST_VARIANT]
    paths = [directory / f"{name}-10000.sock" for name in names]
    paths += [directory / "envoy-admin.sock", config.socket or directory / "stage.sock"]
    longest = max((str(path) for path in paths), key=len)
    if len(longest.encode()) > SOCKET_PATH_MAX:
        raise StageError(
            f"{longest} is longer than the {SOCKET_PATH_MAX} bytes that a Unix socket's path "
            "may have: choose a shorter --dir or --socket"
        )
