"""What `GetLimits` says is used up is what the guard then refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import pytest

from trimtab_controller.headroom import limits_reply
from trimtab_guard.modes import Mode
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1 import controller_pb2_grpc

World = Any  # the class in conftest.py, which cannot be imported from here


def uses(world: World) -> dict[tuple[str, str], pb.LimitUse]:
    reply = limits_reply(world.board, world.board.configs, world.clock())
    shown = [*reply.services[0].uses, *reply.shared]
    return {(use.code, use.backend): use for use in shown}


def test_a_first_look_has_nothing_to_say_of_what_was_never_seen(
    new_world: Callable[..., World],
) -> None:
    assert {code for code, _ in uses(new_world(Mode.GUARDED, warm=False))} == {"BUDGET", "CROWD"}


def test_growth_uses_up_the_rate_until_the_guard_says_so(world: World) -> None:
    assert uses(world)["RATE_UP", "a"].used == 0
    world.want(a=12)
    first = world.tick()
    world.tick()
    use = uses(world)["RATE_UP", "a"]
    assert (use.used, use.most) == (4, 4)
    assert use.window_s == pytest.approx(1.0)  # a minute, sixty times faster
    assert "RATE_UP" in {reason.code for reason in first.tick.verdict.reasons}


def test_the_maximum_is_one_of_them(world: World) -> None:
    world.want(a=12)
    world.tick(8)
    use = uses(world)["MAX_REPLICAS", "a"]
    assert (use.used, use.most, use.unit, use.window_s) == (12, 12, "replicas", 0)


def test_the_route_and_all_services_together(world: World) -> None:
    world.want(a=3, share_a=0.9)
    world.tick(2)
    now = uses(world)
    assert now["WEIGHT_STEP", "a"].used == pytest.approx(0.1)
    assert now["WEIGHT_STEP", "a"].most == pytest.approx(0.1)
    assert (now["CROWD", ""].used, now["CROWD", ""].most) == (1, 10)
    assert now["BUDGET", ""].used == pytest.approx(2.0)
    assert now["FLAP", "a"].used >= 2


def test_everybody_may_ask_over_the_api(world: World, tmp_path: Any) -> None:
    world.tick()
    served = world.serve(f"unix:{tmp_path}/d.sock")
    with grpc.insecure_channel(f"unix:{tmp_path}/d.sock") as channel:
        stub = controller_pb2_grpc.ControllerStub(channel)
        me = stub.WhoAmI(pb.WhoAmIRequest())
        reply = stub.GetLimits(pb.GetLimitsRequest(service="web"))
        with pytest.raises(grpc.RpcError, match="the configuration has web"):
            stub.GetLimits(pb.GetLimitsRequest(service="other"))
    served.close()
    assert (me.name, me.role, list(me.services)) == ("", "admin", [])
    assert reply.services[0].slo.share == pytest.approx(0.99)
    assert reply.services[0].ceiling == pb.MODE_GUARDED
