"""The gate on general ability: kept within a margin, or not needed. See gates.py for its words."""

from __future__ import annotations

from trimtab.decide.evidence import Evidence, band
from trimtab.decide.thresholds import CHOICE, GUIDE
from trimtab.types import Gate, Knowledge, Retained, Retention, Status

_MARGIN = "task file: constraints.retention_margin"


def general_ability(evidence: Evidence) -> Gate:
    """`not-needed` passes as the team's own word; what was measured is told all the same."""
    needed, kept = evidence.task.constraints.general_ability, evidence.retention
    margin = evidence.task.constraints.retention_margin
    status: Status = "unknown"
    if needed == "not-needed":
        status = "pass"
    elif needed == "needed" and kept is not None:
        status = kept.status
    return Gate(
        name="general-ability",
        question="Is general ability kept, or not needed?",
        status=status,
        evidence=_evidence(needed, kept, evidence.no_retention) + _asks(evidence.knowledge),
        threshold=f"not needed, or the interval of the loss on the retention suite is within "
        f"{margin:g}, and no part of the suite is shown to lose more",
        source=f"{GUIDE}; {_MARGIN}; the suite is {CHOICE}",
        basis="measured"
        if needed == "needed" and kept is not None
        else "asked"
        if needed
        else "none",
        blocks=True,
        settle=_settle(needed, kept, evidence.no_retention) if status == "unknown" else "",
    )


def _evidence(needed: str | None, kept: Retention | None, why_not: str | None) -> str:
    said = {
        None: "nobody said whether the tuned model must still do other work",
        "needed": "needed",
        "not-needed": "the tuned model does this task only",
    }[needed]
    if kept is None:
        lost = f"{said}, and what tuning cost it elsewhere was not measured" if needed else said
        return f"{lost}: {why_not}" if needed and why_not else lost
    lost = "; ".join(_part(part) for part in kept.sections if part.status == "fail")
    size = "" if kept.complete else "a third of "
    return f"{said}; on {size}the retention suite: {_part(kept.overall)}" + (
        f"; lost: {lost}" if lost else ""
    )


def _asks(found: Knowledge | None) -> str:
    """How much of the task itself needs what tuning may dilute."""
    if found is None:
        return ""
    told = []
    if (share := band(found.beyond_input)) is not None:
        told.append(
            f"{share[0]:.0%} of the rows ask for what the input does not say "
            f"(95%: {share[1]:.0%} to {share[2]:.0%})"
        )
    if (alone := band(found.closed_book)) is not None:
        told.append(
            f"by the instructions alone the untuned model scores {alone[0]:.3f} "
            f"(95%: {alone[1]:.3f} to {alone[2]:.3f})"
        )
    return f"; in this task {' and '.join(told)}" if told else ""


def _part(part: Retained) -> str:
    known = band(part.difference)
    if known is None or part.base is None or part.tuned is None:
        return f"{part.section} not measured"
    level = f"{part.difference.level:.0%}"
    return (
        f"{part.section} {part.base:.3f} before and {part.tuned:.3f} after tuning, "
        f"{known[0]:+.3f} ({level}: {known[1]:+.3f} to {known[2]:+.3f})"
    )


def _settle(needed: str | None, kept: Retention | None, why_not: str | None) -> str:
    if needed is None:
        return "set constraints.general_ability to needed or not-needed"
    if why_not is not None:
        return (
            "a fine-tune that is trained on this machine; or, where tests of your own show that "
            "nothing is lost that matters, constraints.general_ability set to not-needed"
        )
    if kept is None:
        return "a larger budget, so that the retention suite is answered before and after tuning"
    return "more items in constraints.retention_suite, or a wider constraints.retention_margin"
