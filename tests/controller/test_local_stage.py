"""Acting on the real stage: what it grants, and what each refusal means."""

from __future__ import annotations

import time
from typing import Any

import pytest

from trimtab_controller.protocols import (
    Ask,
    Intent,
    StageError,
    StageMovedError,
    StageRefusedError,
    StageReport,
)
from trimtab_controller.stages.local import LocalStage
from trimtab_proto.v1 import stage_pb2

Processes = Any  # the class in conftest.py, which cannot be imported from here


def intent(report: StageReport, request_id: str, floor: int) -> Intent:
    asks = (Ask("spot", 2, floor, None), Ask("on-demand", 2, None, None))
    return Intent(request_id, "web", report.time_s, report.version, asks)


@pytest.mark.stage
def test_writes_and_refusals(processes: Processes) -> None:
    stage = processes.start_stage()
    processes.stage_status()
    local = LocalStage("web", f"{processes.folder}/s.sock", deadline_s=10.0)

    before = local.status()
    first = intent(before, "one", 3)
    version = local.apply(first)
    after = local.status()
    assert (after.version, after.writer) == (version, "trimtab")
    assert {b.name: b.floor for b in after.backends} == {"on-demand": 1, "spot": 3}
    assert after.backends[0].weight == before.backends[0].weight

    assert local.apply(first) == version  # again by the same name: answered, not done
    assert local.status().version == version
    with pytest.raises(StageMovedError, match="trimtab wrote last"):
        local.apply(intent(before, "two", 4))
    with pytest.raises(StageRefusedError, match="floor 99 of 'spot' is out of bounds"):
        local.apply(intent(after, "three", 99))
    with pytest.raises(StageRefusedError, match="unknown service 'api'"):
        local.apply(intent(after, "four", 3)._replace(service="api"))
    assert local.status().version == version

    other = LocalStage("api", f"{processes.folder}/s.sock")
    with pytest.raises(StageError, match="holds service 'web', not 'api'"):
        other.status()

    stage.terminate()
    assert stage.wait(30.0) == 0
    for call in (local.status, lambda: local.apply(intent(after, "five", 3))):
        with pytest.raises(StageError, match="UNAVAILABLE") as failed:
            call()
        assert not isinstance(failed.value, StageRefusedError)
    other.close()
    local.close()


@pytest.mark.stage
def test_a_rollout_is_seen_while_it_lasts(processes: Processes) -> None:
    processes.start_stage()
    processes.stage_status()
    local = LocalStage("web", f"{processes.folder}/s.sock", deadline_s=10.0)
    assert not local.status().rollout
    processes.stage.Roll(stage_pb2.RollRequest(backend="spot"))
    assert local.status().rollout
    deadline_s = time.monotonic() + 30.0
    while local.status().rollout:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
