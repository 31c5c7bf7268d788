"""An autoscaler of your own that asks trimtab: what it knows goes in, replicas come out.

    python examples/python/recommend.py unix:.run/daemon.sock

The service is described in the request, so the daemon's configuration need not know it.
"""

from __future__ import annotations

import sys
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from trimtab_proto.v1 import controller_pb2 as pb
from trimtab_proto.v1.controller_pb2_grpc import ControllerStub

CHECKOUT = pb.ServiceDescription(
    slo=pb.Slo(latency_s=0.3, share=0.99),
    miss_price=50,
    tick_s=15,
    backends=[
        pb.BackendDescription(
            name="web",
            concurrency=4,
            service_time_s=0.05,
            startup_mean_s=30,
            min_replicas=2,
            max_replicas=60,
        )
    ],
)


def ask(
    trimtab: ControllerStub, time_s: float, replicas: int, rate_rps: float, in_flight: int
) -> int:
    """The replicas to ask for, given what was measured then. A tick has one answer."""
    web = pb.BackendReport(
        name="web", wanted=replicas, ready=replicas, rate_rps=rate_rps, in_flight=in_flight
    )
    request = pb.RecommendRequest(
        service="checkout",
        caller="my autoscaler",
        time_s=time_s,
        description=CHECKOUT,
        backends=[web],
    )
    reply = trimtab.Recommend(request, timeout=2.0)
    print(f"{reply.why}\n{pb.Trust.Name(reply.trust)}, not told: {', '.join(reply.missing)}")
    # Without a decision: keep what there is.
    if reply.trust == pb.TRUST_NONE:
        return replicas
    return int(reply.decision[0].replicas)


def explain(error: grpc.RpcError) -> str:
    """What is wrong, by the details that come with every refusal."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            detail.Unpack(bad := error_details_pb2.BadRequest())
            return "; ".join(f"{v.field} {v.description}" for v in bad.field_violations)
    return f"{error.details()} ({error.code().name})"


def main(address: str) -> None:
    """Ask twice: about the load a tick ago, and about a larger one now."""
    now_s = time.time()
    with grpc.insecure_channel(address) as channel:
        trimtab = ControllerStub(channel)
        try:
            print(f"5 replicas, 200 rps: {ask(trimtab, now_s - 15, 5, 200.0, 11)}")
            print(f"5 replicas, 700 rps: {ask(trimtab, now_s, 5, 700.0, 90)}")
        except grpc.RpcError as error:
            sys.exit(explain(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
