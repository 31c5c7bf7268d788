"""An outlook in words."""

from __future__ import annotations

from math import ceil

from trimtab_agents.foresight import Finding, Forecast, Record
from trimtab_controller.foresight.outlook import Measure, Outlook

MIB = 1 << 20
LATENCY_P95 = "the latency's 95th percentile"
SUBJECTS = {Measure.MEMORY: "memory", Measure.CONNECTIONS: "connections per replica"}
UNITS = {Measure.MEMORY: (1.0 / MIB, " MiB"), Measure.LATENCY: (1.0, " ms")}
FINDINGS = {
    Finding.UNKNOWN: "no limit is known",
    Finding.TOO_LITTLE: "too little was seen since it began",
    Finding.STEADY: "no trend",
    Finding.FAR: "it rises, but its limit is farther ahead than can be foretold",
    Finding.MET: "it is at its limit",
}


def told(outlook: Outlook) -> str:
    """What will be met, in one sentence, for whoever is to approve what is proposed."""
    found = outlook.forecast
    return (
        f"{subject(outlook)} will meet its limit of {amount(outlook.measure, found.limit)} "
        f"{when(found)}: {pace(outlook)}; {judged(outlook.record)}"
    )


def described(outlook: Outlook) -> str:
    """All that can be said, in one sentence."""
    found = outlook.forecast
    if found.finding is Finding.DUE:
        return told(outlook)
    seen = f"{subject(outlook)}: {FINDINGS[found.finding]}"
    rising = (
        f": {pace(outlook)}"
        if found.finding is Finding.FAR
        else f", watched for {span(found.seen_s)}"
    )
    return f"{seen}{rising}; {judged(outlook.record)}"


def subject(outlook: Outlook) -> str:
    """What it is about."""
    return f"{SUBJECTS[outlook.measure]} of {outlook.backend}" if outlook.backend else LATENCY_P95


def amount(measure: Measure, value: float) -> str:
    """With its unit."""
    scale, unit = UNITS.get(measure, (1.0, ""))
    shown = value * scale
    return f"{shown:,.0f}{unit}" if shown >= 100.0 else f"{shown:.3g}{unit}"


def pace(outlook: Outlook) -> str:
    """How fast it rises, and how long that was watched."""
    found = outlook.forecast
    hourly = amount(outlook.measure, found.pace_per_s * 3600.0)
    return f"+{hourly} an hour, watched for {span(found.seen_s)}"


def when(found: Forecast) -> str:
    """In how long, with the interval: ``in 40 min (35 to 50)``."""
    return f"in {span(found.mid_s)} (9 of 10: {span(found.low_s)} to {span(found.high_s)})"


def judged(record: Record) -> str:
    """How often such calls have been right."""
    if not record.calls:
        return "no such call on its own record could be judged yet"
    late = record.calls - record.right - record.early
    wrong = (
        f", {record.early} met earlier, {late} later or never"
        if record.right < record.calls
        else ""
    )
    return f"of {record.calls} such calls on its own record {record.right} were right{wrong}"


def span(seconds: float) -> str:
    """``40 s``, ``12 min``, ``3.5 h``: as rough as it is known."""
    if seconds < 120.0:
        return f"{ceil(seconds)} s"
    if seconds < 2 * 3600.0:
        return f"{seconds / 60.0:.0f} min"
    return f"{seconds / 3600.0:.1f} h"
