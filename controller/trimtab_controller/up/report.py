"""The end of a run: the summary as a table for humans and as JSON for scripts."""

from __future__ import annotations

import json
from pathlib import Path

from rich.table import Table

from trimtab_controller.up.record import Record
from trimtab_controller.up.summary import Summary
from trimtab_controller.up.words import duration, percent
from trimtab_proto.v1 import stage_pb2


def table(record: Record) -> Table | None:
    """The run in a few rows; ``None`` when the stage was never seen."""
    summary = record.summary()
    if summary is None or record.stage is None:
        return None
    rows = Table(title="This run", title_justify="left", show_header=False, box=None)
    for label, value, meaning in _rows(record.stage, summary, record.miss_price):
        rows.add_row(label, value, meaning)
    rows.columns[1].justify = "right"
    rows.columns[2].style = "dim"
    return rows


def _rows(
    stage: stage_pb2.StageStatus, summary: Summary, miss_price: float
) -> list[tuple[str, str, str]]:
    load, profile = stage.load, stage.profile
    slo = f"{profile.slo_share * 100:g} % within {profile.slo_latency_s * 1000:g} ms"
    score = summary.score(miss_price)
    return [
        ("time", duration(summary.seconds), f"of {load.trace} at {load.speed:g}x life"),
        ("policy", summary.policy or "none", ""),
        ("requests", f"{summary.requests:,}", ""),
        ("misses", percent(summary.miss_share), f"late or failed; the SLO is {slo}"),
        ("fleet", f"{summary.fleet:.2f}", "billed over the least that could do it"),
        ("score", f"{score:.2f}", f"fleet + {miss_price:g} x misses, smaller is better"),
        ("scale events", f"{summary.scale_events:,}", "replicas started or stopped on purpose"),
        ("route changes", f"{summary.route_changes:,}", "other weights in Envoy"),
        ("decisions", f"{summary.decisions:,}", ""),
        ("generator lag", f"{load.worst_lag_s * 1000:.0f} ms", "at worst; large: a busy machine"),
    ]


def write_json(summary: Summary, path: Path) -> None:
    """Write the summary; `OSError` when that fails."""
    path.write_text(json.dumps(summary.as_json(), indent=2) + "\n")
