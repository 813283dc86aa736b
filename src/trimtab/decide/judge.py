"""Whether a judge model's scores may decide."""

from __future__ import annotations

from trimtab.decide.evidence import Evidence
from trimtab.decide.thresholds import THRESHOLDS
from trimtab.task.spec import Task
from trimtab.types import Gate, JudgeAgreement, Status

JUDGE = "judge-agrees"


def may_judge(task: Task, found: JudgeAgreement | None) -> bool:
    """Whether scores by the task's metric may decide."""
    return task.metric != "judge" or agreement_status(found) == "pass"


def judge_agrees(evidence: Evidence) -> Gate:
    """Without it no verdict rests on a metric that is a judge's score."""
    least, rows = THRESHOLDS.judge_kappa, THRESHOLDS.judge_reviews
    found = evidence.judge
    status = agreement_status(found)
    told = "its agreement with people was not measured"
    if found is not None:
        kappa = found.kappa
        told = f"{kappa.n} reviews graded by it too, {found.lost} not readable"
        if kappa.estimate is not None and kappa.low is not None and kappa.high is not None:
            told = f"kappa {kappa.estimate:.2f} (95%: {kappa.low:.2f} to {kappa.high:.2f}), {told}"
    return Gate(
        name=JUDGE,
        question="Does the judge model agree with people?",
        status=status,
        evidence=told,
        threshold=f"lower bound of kappa at least {least:g}, on {rows} reviews or more",
        source="below 0.4 agreement is poor: Fleiss, Levin & Paik 2003, Statistical Methods for "
        "Rates and Proportions, ch. 18",
        basis="measured" if found else "none",
        blocks=True,
        settle=f"{rows} or more reviews in scoring.judge.reviews, with a larger budget"
        if status == "unknown"
        else "",
    )


def agreement_status(found: JudgeAgreement | None) -> Status:
    """Whether the judge's kappa lies above its limit, below, or cannot be told from it."""
    if found is None or found.kappa.n < THRESHOLDS.judge_reviews:
        return "unknown"
    low, high = found.kappa.low, found.kappa.high
    if low is not None and low >= THRESHOLDS.judge_kappa:
        return "pass"
    return "fail" if high is not None and high < THRESHOLDS.judge_kappa else "unknown"
