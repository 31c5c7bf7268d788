"""Clients that are known by their certificates: written in trimtab.yaml, followed on SIGHUP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from trimtab_controller.config import load
from trimtab_controller.reload import Reloader
from trimtab_controller.security.roles import Role
from trimtab_controller.security.spec import ClientSpec
from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_sim.schema import ConfigError

House = Any  # the class in conftest.py, which cannot be imported from here
Code = grpc.StatusCode
SECURITY = """\
security:
  tls: {certificate: s.crt, key: s.key, client_ca: ca.crt}
  clients:
    - {certificate: keda, role: viewer, services: [web]}
    - {certificate: ann, role: admin}
"""


@pytest.fixture
def file(house: House) -> Path:
    """A configuration with two clients, and the CA that vouches for them."""
    house.mutual()
    file = Path(house.folder) / "trimtab.yaml"
    file.write_text(file.read_text() + SECURITY)
    return file


def test_the_file_says_who_they_are_and_where_its_files_are(file: Path) -> None:
    security = load(file).security
    assert security.clients == (
        ClientSpec("keda", Role.VIEWER, ("web",)),
        ClientSpec("ann", Role.ADMIN),
    )
    assert security.tls
    assert security.tls.certificate == str(file.parent / "s.crt")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        pytest.param("role: admin", "role: boss", "'boss' must be one of viewer, op", id="role"),
        pytest.param("[web]", "[api]", "client 'keda': there is no service 'api'", id="service"),
        pytest.param("ann", "keda", "client 'keda' is listed twice", id="twice"),
        pytest.param(", client_ca: ca.crt", "", "add tls.client_ca, which", id="no CA"),
        pytest.param("  tls:", "  rate_rps: 0\n  tls:", "0 must be 1 or more", id="rate"),
    ],
)
def test_what_is_wrong_is_named(file: Path, old: str, new: str, message: str) -> None:
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=message):
        load(file)


def test_who_is_taken_out_is_nobody_after_a_reload(house: House, file: Path) -> None:
    world, config = house.world, load(file)
    house.serve(config.security)
    keda, ann = (house.stub(pair=house.authority.pair(name)) for name in ("keda", "ann"))
    watch = ann.WatchDecisions(pb.WatchDecisionsRequest(), timeout=30.0)
    next(watch)
    reloader = Reloader(
        file, config, world.board, world.services, house.served.recommenders,
        house.served.entrance, world.journal, world.clock,
    )  # fmt: skip
    file.write_text(file.read_text().replace("    - {certificate: ann, role: admin}\n", ""))
    reloader.reload()
    assert world.board.config_error == ""
    keda.ListPending(pb.ListPendingRequest(), timeout=5.0)
    with pytest.raises(grpc.RpcError) as refused:
        ann.Stop(pb.StopRequest(), timeout=5.0)
    assert refused.value.code() is Code.UNAUTHENTICATED
    world.tick()
    with pytest.raises(grpc.RpcError) as closed:
        next(watch)
    assert closed.value.code() is Code.UNAUTHENTICATED
