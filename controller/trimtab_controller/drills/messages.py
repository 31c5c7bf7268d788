"""Between the API's messages and drills."""

from __future__ import annotations

from collections.abc import Collection

from trimtab_controller.drills.course import Course
from trimtab_controller.drills.plan import Plan, parsed
from trimtab_controller.refusals import InvalidRequest
from trimtab_proto.v1 import controller_pb2 as pb


def plan(request: pb.StartDrillRequest, backends: Collection[str]) -> Plan:
    """What is asked for; `InvalidRequest` names the line and field that cannot be."""
    try:
        found = parsed(request.plan)
    except ValueError as error:
        raise InvalidRequest("plan", str(error)) from error
    if found.service != request.service:
        raise InvalidRequest("plan", f"is for {found.service!r}, not for {request.service!r}")
    for number, fault in enumerate(found.faults):
        if fault.backend and fault.backend not in backends:
            known = ", ".join(backends)
            raise InvalidRequest("plan", f"faults[{number}].backend: must be one of {known}")
    return found


def described(course: Course, page: str = "") -> pb.Drill:
    """A drill as it is."""
    return pb.Drill(
        service=course.plan.service,
        drill=course.plan.drill,
        phase=course.phase,
        why=course.why,
        who=course.who,
        began_s=course.began_s,
        first_s=course.first_s,
        last_s=course.last_s,
        ended_s=course.ended_s,
        missed_s=course.missed_s,
        budget_s=course.limits.error_budget_s,
        in_force=[str(fault) for fault in course.in_force],
        page=page,
    )
