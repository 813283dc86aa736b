"""All that the gates and the rule look at."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta

from trimtab.compare.latency import CALLS_FOR_P95
from trimtab.decide.thresholds import THRESHOLDS
from trimtab.store.history import TaskHistory
from trimtab.store.watching import Traffic
from trimtab.task.spec import Task
from trimtab.types import (
    Comparison,
    Consistency,
    Finding,
    Forecast,
    Interval,
    JudgeAgreement,
    Knowledge,
    Language,
    Money,
    Plateau,
    Remeasured,
    Retention,
    Sensitivity,
    Status,
    VariantScore,
)

_MOST_ASKED = 100
"""Times as many rows and calls beyond which nobody would measure them."""


@dataclass(frozen=True)
class Evidence:
    """What one run measured and was told; None where it was not.

    Scores and comparison are of the sealed test, one winner of each arm. `n_train` counts the
    distinct rows there are to train on, `rows_approved` of `rows_total` were approved by a named
    person. `plateau` and `sensitivity` are of the prompt search on dev, and so are
    `consistency` and `language`.
    `money_ahead` is that of a fine-tune at the goal, on the rows that the forecast asks for.
    `history` holds the changes of the task that git and earlier runs saw, and its traffic;
    `remeasured` what the newest change did to the score. `stopped_by` names a
    budget that ended the run early, `no_tuning` the reason why no fine-tune was planned or came of
    it, `no_retention` why what it loses elsewhere cannot be measured.
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
    plateau: Plateau | None = None
    sensitivity: Sensitivity | None = None
    money_ahead: Money | None = None
    money_missing: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()
    retention: Retention | None = None
    judge: JudgeAgreement | None = None
    consistency: Consistency | None = None
    language: Language | None = None
    knowledge: Knowledge | None = None
    stopped_by: str | None = None
    no_tuning: str | None = None
    no_retention: str | None = None
    history: TaskHistory = field(default_factory=TaskHistory)
    remeasured: Remeasured | None = None

    @property
    def why_no_fine_tune(self) -> str:
        """Why the fine-tune arm has no score on the test rows."""
        if self.no_tuning is not None:
            return f"no fine-tune was measured: {self.no_tuning}"
        if self.stopped_by is not None:
            return f"no fine-tune was measured: the budget was spent ({self.stopped_by})"
        return "no fine-tune was measured"

    @property
    def served(self) -> Traffic | None:
        """What production asks of the task, where the watch saw it within the last month."""
        return recent_traffic(self.history, self.today)

    @property
    def measured_difference(self) -> Band | None:
        """Fine-tune minus prompt on the test rows."""
        return band(self.comparison.difference if self.comparison else None)


def recent_traffic(history: TaskHistory, today: date) -> Traffic | None:
    """The traffic that the watch saw; None where that was more than a month ago."""
    month_ago = today - timedelta(days=THRESHOLDS.stable_days)
    seen = history.served
    return seen if seen is not None and seen.until.date() > month_ago else None


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
    """One measured value against one limit of the task file.

    Where there is an `interval`, the whole of it must keep the limit, and an undefined bound shows
    nothing. `plain` names the value for someone who knows no statistics.
    """

    name: str
    plain: str
    value: float | None
    limit: float
    at_least: bool
    interval: Interval | None = None
    settle: str = ""
    """What would tell, where the status is unknown."""

    @property
    def status(self) -> Status:
        if self.value is None:
            return "unknown"
        low: float | None = self.value
        high: float | None = self.value
        if self.interval is not None:
            low, high = self.interval.low, self.interval.high
        worst_case, best_case = (low, high) if self.at_least else (high, low)
        if worst_case is not None and self._keeps(worst_case):
            return "pass"
        return "fail" if best_case is not None and not self._keeps(best_case) else "unknown"

    @property
    def sentence(self) -> str:
        return f"{self.name} {self._found} ({self._asked})"

    @property
    def complaint(self) -> str:
        """What is wrong where the status is not pass, in plain words."""
        if self.status == "fail":
            return f"{self.plain} is {self._found}, and {self._asked} is asked"
        return f"{self.plain} is {self._found}, so it is not sure to be {self._asked}"

    @property
    def _asked(self) -> str:
        return f"{'at least' if self.at_least else 'at most'} {self.limit:g}"

    @property
    def _found(self) -> str:
        if self.value is None:
            return "not measured"
        if self.interval is None:
            return f"{self.value:.3g}"
        low, high = (
            "unknown" if bound is None else f"{bound:.3g}"
            for bound in (self.interval.low, self.interval.high)
        )
        return f"{self.value:.3g} (95%: {low} to {high})"

    def _keeps(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


def goal_checks(score: VariantScore, task: Task) -> tuple[Check, ...]:
    """`score` against the goals of quality and validity, in this order, by their estimates."""
    return (
        Check("quality", "its quality", score.quality.estimate, task.goals.quality, at_least=True),
        Check(
            "validity",
            "the share of its answers in the right format",
            score.validity.estimate,
            task.goals.validity,
            at_least=True,
        ),
    )


def constraint_checks(
    score: VariantScore, task: Task, served: Traffic | None = None
) -> tuple[Check, ...]:
    """`score` against the limits that the task sets; maybe none. Latency by its interval, and as
    it is in production where this variant serves."""
    limits, checks = task.constraints, []
    if limits.p95_latency_seconds is not None:
        if served is not None and served.variant == score.variant:
            checks.append(_served_check(served, limits.p95_latency_seconds))
        else:
            checks.append(_latency_check(score, limits.p95_latency_seconds))
    if limits.money_per_1000_calls is not None:
        checks.append(
            Check(
                "money per 1,000 calls",
                "the cost of 1,000 calls",
                score.money_per_1000,
                limits.money_per_1000_calls,
                at_least=False,
                settle="give the prices of both models",
            )
        )
    return tuple(checks)


def _served_check(served: Traffic, limit: float) -> Check:
    return Check(
        f"p95 latency in seconds, as served until {served.until.date().isoformat()},",
        "the time in seconds that 95 of 100 served calls keep to",
        served.p95_s.estimate,
        limit,
        at_least=False,
        interval=served.p95_s,
        settle="more hours of traffic, and `trimtab watch --once` before the next decision",
    )


def _latency_check(score: VariantScore, limit: float) -> Check:
    name, plain = "p95 latency in seconds", "the time in seconds that 95 of 100 calls keep to"
    if score.latency is None:
        return Check(name, plain, None, limit, at_least=False, settle="measure latency")
    estimate, timed = score.latency.p95, score.latency.n
    bounds = score.latency.p95_interval or Interval(
        estimate=estimate, low=None, high=None, n=timed, method="none"
    )
    settle = f"{CALLS_FOR_P95} timed calls, with a larger budget.minutes (there are {timed})"
    if bounds.low is not None and bounds.high is not None and bounds.low < limit <= bounds.high:
        # An interval shrinks with the root of the rows and calls behind it.
        reach = bounds.high - estimate if limit > estimate else estimate - bounds.low
        more = (reach / (limit - estimate)) ** 2 if limit != estimate else math.inf
        settle = (
            f"about {more:.1f} times as many test rows and timed calls (there are {score.n} and "
            f"{timed}), with a larger data.test and budget.minutes"
            if more <= _MOST_ASKED
            else "a faster model, or another limit: the measured time is too near this one"
        )
    return Check(name, plain, estimate, limit, at_least=False, interval=bounds, settle=settle)


def settled_by(checks: Iterable[Check]) -> str:
    """What would tell whether the checks hold that are unknown."""
    return "; ".join(check.settle for check in checks if check.status == "unknown")


def meets_everything(score: VariantScore, task: Task, served: Traffic | None = None) -> bool:
    """Whether every check passes; what is unmeasured, or not sure, does not."""
    checks = goal_checks(score, task) + constraint_checks(score, task, served)
    return all(check.status == "pass" for check in checks)


def worst(statuses: Iterable[Status]) -> Status:
    """`fail` where any fails, else `unknown` where any is unknown, else `pass`."""
    found = set(statuses)
    return "fail" if "fail" in found else "unknown" if "unknown" in found else "pass"
