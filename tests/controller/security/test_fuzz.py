"""Whatever is sent to a method is answered with a status that means it; nothing hangs or leaks."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab_controller.journal import verify
from trimtab_controller.security.roles import RULES, Role
from trimtab_controller.security.spec import SecuritySpec
from trimtab_proto.v1 import controller_pb2, externalscaler_pb2

House = Any  # the class in conftest.py, which cannot be imported from here
Code = grpc.StatusCode
FILES = (controller_pb2, externalscaler_pb2, health_pb2, reflection_pb2)
# UNKNOWN and INTERNAL are missing: they are what a crash would be answered with.
MEANT = {
    Code.OK, Code.INVALID_ARGUMENT, Code.NOT_FOUND, Code.FAILED_PRECONDITION, Code.UNAVAILABLE,
    Code.RESOURCE_EXHAUSTED, Code.UNIMPLEMENTED,
}  # fmt: skip
# Streams that stay open, and an abort that no loop carries out, go on until the caller gives up.
GIVES_UP_S, PATIENCE_S = 0.3, 30.0
PATIENT = {"WatchDecisions", "Watch", "StreamIsActive", "StreamMetricSpec", "Abort"}
SETTINGS = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])

NAMES = st.sampled_from(["web", "a", "b", "1", "service", "guarded", "*", ""]) | st.text(max_size=9)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_STRING: NAMES,
    FieldDescriptor.CPPTYPE_DOUBLE: st.sampled_from([0.0, 0.5, 1.0, 1.8e9]) | st.floats(),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 9) | st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 9) | st.integers(0, 2**64 - 1),
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_ENUM: st.integers(0, 6),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
}


def taken() -> dict[str, Descriptor]:
    """The message that each method takes."""
    services = (s for file in FILES for s in file.DESCRIPTOR.services_by_name.values())
    return {f"/{s.full_name}/{m.name}": m.input_type for s in services for m in s.methods}


TAKEN = taken()


def values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    """What a field may hold, once or often."""
    if field.message_type and field.message_type.GetOptions().map_entry:
        held = field.message_type.fields_by_name["value"]
        return st.dictionaries(NAMES, values(held), max_size=4)
    if field.type == FieldDescriptor.TYPE_BYTES:
        one: st.SearchStrategy[Any] = st.binary(max_size=99)
    elif field.message_type:
        one = messages(field.message_type)
    else:
        one = SCALARS[field.cpp_type]
    return st.lists(one, max_size=3) if field.is_repeated else one


def messages(kind: Descriptor) -> st.SearchStrategy[Message]:
    """A message with some of its fields."""
    fields = {f.name: values(f) for f in kind.fields}
    made = GetMessageClass(kind)
    return st.fixed_dictionaries({}, optional=fields).map(lambda chosen: made(**chosen))


METHODS = sorted(RULES)
CALLS = st.sampled_from(METHODS).flatmap(
    lambda method: st.tuples(
        st.just(method),
        st.lists(
            messages(TAKEN[method]).map(lambda message: message.SerializeToString())
            | st.binary(max_size=200),
            max_size=3,
        ),
    )
)


@pytest.fixture
def open_house(house: House) -> House:
    """Without authentication every handler is reached."""
    house.serve(SecuritySpec())
    return house


def patient(method: str, sent: list[bytes]) -> bool:
    """Whether a call may go on for ever; without a message it has not even begun."""
    return method.rpartition("/")[2] in PATIENT or not sent


def answer(channel: grpc.Channel, method: str, sent: list[bytes]) -> Code:
    timeout = GIVES_UP_S if patient(method, sent) else PATIENCE_S
    call = channel.stream_stream(method)(iter(sent), timeout=timeout)
    try:
        for _ in call:
            pass
    except grpc.RpcError:
        pass
    return call.code()


def counted() -> tuple[int, int]:
    """Open files, and Python's threads."""
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def test_every_method_is_fuzzed() -> None:
    assert set(RULES) == set(TAKEN)


@SETTINGS
@given(call=CALLS)
def test_handlers_answer_everything(open_house: House, call: tuple[str, list[bytes]]) -> None:
    method, sent = call
    with grpc.insecure_channel(open_house.address) as channel:
        code = answer(channel, method, sent)
    given_up = {Code.DEADLINE_EXCEEDED, Code.CANCELLED} if patient(method, sent) else set()
    assert code in MEANT | given_up
    open_house.world.tick()


@SETTINGS
@given(call=CALLS, authorization=st.binary(max_size=99))
def test_nobody_gets_past_the_gate_with_nonsense(
    house: House, call: tuple[str, list[bytes]], authorization: bytes
) -> None:
    method, sent = call
    if not hasattr(house, "served"):
        house.serve(SecuritySpec(tokens=str(house.tokens)))
    shown = "".join(chr(32 + byte % 95) for byte in authorization).strip()
    with grpc.insecure_channel(house.address) as channel:
        metadata = (("authorization", f"Bearer {shown}"),)
        stream = channel.stream_stream(method)(iter(sent), timeout=5.0, metadata=metadata)
        code = stream.code()
    if not method.endswith("Health/Check"):  # which anybody may call
        assert code is Code.UNAUTHENTICATED


def test_fuzzing_leaves_nothing_behind(open_house: House) -> None:
    token = open_house.token("ann", Role.ADMIN)
    noise = [b"", b"\xff" * 50, token.encode(), bytes(range(256))]

    def storm() -> Iterator[Code]:
        with grpc.insecure_channel(open_house.address) as channel:
            for method in METHODS:
                yield answer(channel, method, noise[: 1 + len(method) % len(noise)])

    assert set(storm()) <= MEANT | {Code.DEADLINE_EXCEEDED}
    files, threads = counted()
    for _ in range(3):
        list(storm())
    while counted()[0] > files:  # connections close a moment later
        pass
    assert counted()[1] <= threads + 1
    assert verify(open_house.folder / "journal.db").ok
