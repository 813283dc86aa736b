"""All that the gates and the rule look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from trimtab.task.spec import Task
from trimtab.types import Comparison, Finding, Forecast, Interval, Money, Status, VariantScore


@dataclass(frozen=True)
class Evidence:
    """What one run measured and was told; None where it was not.

    Scores and comparison are of the sealed test, one winner of each arm. `n_train` counts the
    distinct rows there are to train on, `rows_approved` of `rows_total` were approved by a named
    person. `task_changes` counts changes of instructions, output or metric that earlier runs
    saw, the last of them on `last_changed`. `stopped_by` names a budget that ended the run early.
    """

    task: Task
    today: date
    prompt: VariantScore | None
    fine_tune: VariantScore | None
    comparison: Comparison | None
    money: Money | None
    forecast: Forecast | None
    n_train: int
    rows_approved: int
    rows_total: int
    prompt_search_complete: bool
    money_missing: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    stopped_by: str | None = None
    task_changes: int | None = None
    last_changed: date | None = None

    @property
    def measured_difference(self) -> Band | None:
        """Fine-tune minus prompt on the test rows."""
        return band(self.comparison.difference if self.comparison else None)


Band = tuple[float, float, float]
"""Estimate, low and high."""


def band(interval: Interval | None) -> Band | None:
    """The three numbers of an interval; None unless all are known."""
    if interval is None:
        return None
    estimate, low, high = interval.estimate, interval.low, interval.high
    if estimate is None or low is None or high is None:
        return None
    return estimate, low, high


def against(goal: float, interval: Interval) -> Status:
    """Whether the whole interval reaches `goal`, lies below it, or straddles it (unknown)."""
    known = band(interval)
    if known is None or known[1] < goal <= known[2]:
        return "unknown"
    return "pass" if known[1] >= goal else "fail"


@dataclass(frozen=True)
class Check:
    """One estimate against one limit of the task file."""

    name: str
    value: float | None
    limit: float
    at_least: bool

    @property
    def status(self) -> Status:
        if self.value is None:
            return "unknown"
        met = self.value >= self.limit if self.at_least else self.value <= self.limit
        return "pass" if met else "fail"

    @property
    def sentence(self) -> str:
        side = "at least" if self.at_least else "at most"
        value = "not measured" if self.value is None else f"{self.value:.3g}"
        return f"{self.name} {value} ({side} {self.limit:g})"


def goal_checks(score: VariantScore, task: Task) -> tuple[Check, ...]:
    """`score` against the goals of quality and validity, in this order."""
    return (
        Check("quality", score.quality.estimate, task.goals.quality, at_least=True),
        Check("validity", score.validity.estimate, task.goals.validity, at_least=True),
    )


def constraint_checks(score: VariantScore, task: Task) -> tuple[Check, ...]:
    """`score` against the limits of latency and money that the task sets; maybe none."""
    p95 = score.latency.p95 if score.latency else None
    limits = task.constraints
    named = (
        ("p95 latency in seconds", p95, limits.p95_latency_seconds),
        ("money per 1,000 calls", score.money_per_1000, limits.money_per_1000_calls),
    )
    return tuple(
        Check(name, value, limit, at_least=False)
        for name, value, limit in named
        if limit is not None
    )


def meets_everything(score: VariantScore, task: Task) -> bool:
    """Whether every goal and constraint is met by the estimates; what is unmeasured is not met."""
    checks = goal_checks(score, task) + constraint_checks(score, task)
    return all(check.status == "pass" for check in checks)


def worst(statuses: Iterable[Status]) -> Status:
    """`fail` where any fails, else `unknown` where any is unknown, else `pass`."""
    found = set(statuses)
    return "fail" if "fail" in found else "unknown" if "unknown" in found else "pass"
