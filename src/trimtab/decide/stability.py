"""Does the task stand still? By what git and earlier runs saw, and by what the team says.

What is asked and what is seen must not contradict each other, and either may be missing: a stated
date stands where nobody saw a later change, and a history of a month without one needs no date.
"""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

from trimtab.decide.evidence import Evidence
from trimtab.decide.thresholds import CHOICE, GUIDE, THRESHOLDS
from trimtab.types import Gate, Status

_PARTS_SHOWN = 5
_DAYS_A_MONTH = 30.44


def task_stable(evidence: Evidence) -> Gate:
    """Instructions, metric, scoring and output; and the calls in production, where the watch saw
    them drift."""
    gate = _stable(evidence, "task-stable", "Do instructions, output and metric stand still?", "")
    month_ago = evidence.today - timedelta(days=THRESHOLDS.stable_days)
    drifts = [day for day in evidence.history.drifts if day > month_ago]
    if not drifts:
        return gate
    seen = f"production drifted, last on {max(drifts).isoformat()}, by the watch"
    return gate.model_copy(
        update={
            "status": "fail",
            "evidence": f"{gate.evidence}; {seen}",
            "basis": "measured",
            "settle": "",
        }
    )


def format_stable(evidence: Evidence) -> Gate:
    """The output alone. Does not block: task-stable looks at it too."""
    gate = _stable(evidence, "format-stable", "Does the output format stand still?", "output.")
    return gate.model_copy(update={"blocks": False})


def _stable(evidence: Evidence, name: str, question: str, prefix: str) -> Gate:
    """The gate on all parts of the task whose names begin with `prefix`."""
    stated, seen = evidence.task.traffic.stable_since, evidence.history.since
    parts = Counter(
        part
        for change in evidence.history.changes
        for part in change.parts
        if part.startswith(prefix)
    )
    days = [
        change.day
        for change in evidence.history.changes
        if any(part.startswith(prefix) for part in change.parts)
    ]
    last = max(days, default=None)
    month_ago = evidence.today - timedelta(days=THRESHOLDS.stable_days)
    stands_since = max((day for day in (stated, last) if day is not None), default=seen)
    status: Status = "unknown"
    if last is not None and (last > month_ago or (stated is not None and last >= stated)):
        status = "fail"
    elif stands_since is not None and stands_since <= month_ago:
        status = "pass"
    return Gate(
        name=name,
        question=question,
        status=status,
        evidence="; ".join([_stated(stated), _seen(evidence, parts, days)]),
        threshold=f"unchanged for {THRESHOLDS.stable_days} days",
        source=f"{GUIDE}; the days are {CHOICE}",
        basis="measured" if days or (stated is None and seen) else "asked" if stated else "none",
        blocks=True,
        settle=_settle(stands_since) if status == "unknown" else "",
    )


def _stated(stated: date | None) -> str:
    if stated is None:
        return "nobody said since when the task stands"
    return f"unchanged since {stated.isoformat()}, by the task file"


def _seen(evidence: Evidence, parts: Counter[str], days: list[date]) -> str:
    seen = evidence.history.since
    if seen is None:
        return "no earlier version of it was seen"
    months = max((evidence.today - seen).days / _DAYS_A_MONTH, 1.0)
    if not days:
        return f"no change seen since {seen.isoformat()}"
    often = ", ".join(f"{part} {count}" for part, count in parts.most_common(_PARTS_SHOWN))
    rest = len(parts) - _PARTS_SHOWN
    often += f" and {rest} other parts" if rest > 0 else ""
    return (
        f"{len(days)} changes seen since {seen.isoformat()}, {len(days) / months:.1f} a month, the "
        f"last by {max(days).isoformat()} (by part: {often})"
    )


def _settle(stands_since: date | None) -> str:
    if stands_since is None:
        return "set traffic.stable_since"
    ready = stands_since + timedelta(days=THRESHOLDS.stable_days)
    return f"wait until {ready.isoformat()}: the task is younger than its first month"
