"""What a feed knows of a served world, while it is there and while it is away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from trimtab_controller.console.feed import Feed, Feeds
from trimtab_controller.security.roles import Role
from trimtab_controller.security.spec import SecuritySpec
from trimtab_controller.security.tokens import changing, issue
from trimtab_controller.up.feeds import RECONNECT
from trimtab_guard.modes import Mode

World = Any  # the class in the conftest.py above, which cannot be imported from here


def lived(world: World, address: str, life: Callable[[Feeds], Awaitable[None]]) -> None:
    """Run a coroutine with feeds of ``address``, as the console's server would."""

    async def run() -> None:
        async with grpc.aio.insecure_channel(address, options=RECONNECT) as channel:
            feeds = Feeds(channel, world.clock)
            await life(feeds)
            feeds.keep(set())

    asyncio.run(run())


async def until(feed: Feed, true: Callable[[], object]) -> None:
    for _ in range(300):
        if true():
            return
        await feed.changed(0.1)
    raise AssertionError("it did not come")


@pytest.fixture
def address(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/d.sock"


def test_ticks_limits_and_requests_come_in(
    new_world: Callable[[Mode], World], address: str
) -> None:
    world = new_world(Mode.APPROVE)
    world.want(a=4)
    world.tick()
    served = world.serve(address)

    async def life(feeds: Feeds) -> None:
        feed = feeds.of("")
        assert feeds.of("") is feed
        assert feed.away_since_s is not None
        await until(feed, lambda: feed.pending)
        seen = feed.services["web"]
        assert feed.away_since_s is None
        assert (feed.pending[0].backend, feed.service_of(feed.pending[0].id)) == ("a", "web")
        assert seen.limits
        decided = seen.status.decisions
        await asyncio.to_thread(world.tick)
        await until(feed, lambda: seen.status.decisions > decided)

    lived(world, address, life)
    served.close()


def test_what_was_seen_stays_while_the_daemon_is_away(world: World, address: str) -> None:
    first = world.serve(address)

    async def life(feeds: Feeds) -> None:
        feed = feeds.of("")
        await until(feed, lambda: feed.services)
        await asyncio.to_thread(first.close)
        await until(feed, lambda: feed.away_since_s is not None)
        assert feed.services["web"].status.backends
        again = await asyncio.to_thread(world.serve, address)
        await until(feed, lambda: feed.away_since_s is None)
        await asyncio.to_thread(again.close)

    lived(world, address, life)


def test_a_daemon_that_hangs_is_away_too(world: World, address: str) -> None:
    served = world.serve(address)

    async def life(feeds: Feeds) -> None:
        feed = feeds.of("")
        await until(feed, lambda: feed.services)
        assert feed.away_since_s is None
        heard_s = world.clock.now_s
        world.clock.now_s += 10.0
        assert feed.away_since_s == heard_s

    lived(world, address, life)
    served.close()


def test_who_is_nobody_any_more_is_shown_nothing_new(
    world: World, address: str, tmp_path: Path
) -> None:
    now_s = world.clock()
    text, token = issue("vi", Role.VIEWER, (), now_s + 3600.0, now_s)
    with changing(tmp_path / "tokens.yaml") as tokens:
        tokens.append(token)
    served = world.serve(address, SecuritySpec(tokens=str(tmp_path / "tokens.yaml")))

    async def life(feeds: Feeds) -> None:
        known, unknown = feeds.of(text), feeds.of("")
        await until(known, lambda: known.services)
        await until(unknown, lambda: unknown.denied)
        assert "no token" in unknown.denied
        with changing(tmp_path / "tokens.yaml") as tokens:
            tokens.clear()
        await asyncio.to_thread(world.tick)
        await until(known, lambda: known.denied)
        assert "not known" in known.denied

    lived(world, address, life)
    served.close()
