"""Does the task stand still? By what git and earlier runs saw, and by what the team says.

What is asked and what is seen must not contradict each other, and either may be missing: a stated
date stands where nobody saw a later change, and a history of a month without one needs no date.
Rows that carry a time are looked at too: where the later ones are of another kind, the task moved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta

from trimtab.audit.coverage import SIGNIFICANT, WARN_AUC
from trimtab.decide.evidence import Evidence, band
from trimtab.decide.thresholds import CHOICE, GUIDE, THRESHOLDS
from trimtab.store.history import MEANS
from trimtab.types import Gate, Interval, Status

_PARTS_SHOWN = 5
_DAYS_A_MONTH = 30.44


def task_stable(evidence: Evidence) -> Gate:
    """Instructions, metric, scoring and output; the rows, where they carry a time; and the calls in
    production, where the watch saw them drift."""
    gate = _stable(evidence, "task-stable", "Do instructions, output and metric stand still?", "")
    moved, rows = _rows_moved(evidence)
    told = [gate.evidence, *_effect(evidence), *_tried(evidence), rows]
    month_ago = evidence.today - timedelta(days=THRESHOLDS.stable_days)
    drifts = [day for day in evidence.history.drifts if day > month_ago]
    if drifts:
        told.append(f"production drifted, last on {max(drifts).isoformat()}, by the watch")
    gate = gate.model_copy(update={"evidence": "; ".join(told)})
    if not (drifts or moved):
        return gate
    return gate.model_copy(update={"status": "fail", "basis": "measured", "settle": ""})


def _rows_moved(evidence: Evidence) -> tuple[bool, str]:
    """Whether later rows surely differ from earlier ones, in inputs or in labels; in words."""
    found = next((each for each in evidence.findings if each.check == "drift"), None)
    if found is None:
        return False, "rows carry no time, so early and late ones were not compared"
    if not found.measured:
        return False, found.message
    area, chance = found.figures.get("auc"), found.figures.get("p_value")
    inputs = area is not None and chance is not None and area > WARN_AUC and chance <= SIGNIFICANT
    by_chance = found.figures.get("new_labels_p")
    labels = by_chance is not None and by_chance <= SIGNIFICANT
    return inputs or labels, found.message


def _effect(evidence: Evidence) -> list[str]:
    """What the newest change did to the measured score."""
    found = evidence.remeasured
    if found is None:
        counted = any(_counted(change.parts) for change in evidence.history.changes)
        return ["what the newest change did to the score was not measured"] if counted else []
    now, then = found.after, found.before
    gap = "unknown"
    if now.estimate is not None and then.estimate is not None:
        gap = f"{now.estimate - then.estimate:+.3f}"
    return [
        f"the newest change ({', '.join(found.parts[:_PARTS_SHOWN])}) moved the score by {gap}: "
        f"the winner of {found.run}, {found.name}, scored {_score(then)} on dev before it and "
        f"scores {_score(now)} after it"
    ]


def _tried(evidence: Evidence) -> list[str]:
    """Changes that are told and do not count: prompts that were tried, answers that were graded."""
    parts = Counter(p for change in evidence.history.changes for p in change.parts if p in MEANS)
    told = ", ".join(f"{part} {count}" for part, count in sorted(parts.items()))
    return [f"files that say nothing of what is asked changed too ({told})"] if parts else []


def _counted(parts: Iterable[str], prefix: str = "") -> list[str]:
    """Those that say what the task asks."""
    return [part for part in parts if part.startswith(prefix) and part not in MEANS]


def _score(interval: Interval) -> str:
    known = band(interval)
    if known is None:
        return "unknown"
    return f"{known[0]:.3f} (95%: {known[1]:.3f} to {known[2]:.3f})"


def format_stable(evidence: Evidence) -> Gate:
    """The output alone. Does not block: task-stable looks at it too."""
    gate = _stable(evidence, "format-stable", "Does the output format stand still?", "output.")
    return gate.model_copy(update={"blocks": False})


def _stable(evidence: Evidence, name: str, question: str, prefix: str) -> Gate:
    """The gate on all parts of the task whose names begin with `prefix`."""
    stated, seen = evidence.task.traffic.stable_since, evidence.history.since
    changes = [
        (change.told_by(stated), counted)
        for change in evidence.history.changes
        if (counted := _counted(change.parts, prefix))
    ]
    parts = Counter(part for _, counted in changes for part in counted)
    days = [day for day, _ in changes]
    last = max(days, default=None)
    month_ago = evidence.today - timedelta(days=THRESHOLDS.stable_days)
    stands_since = max((day for day in (stated, last) if day is not None), default=seen)
    status: Status = "unknown"
    if last is not None and (last > month_ago or (stated is not None and last > stated)):
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
