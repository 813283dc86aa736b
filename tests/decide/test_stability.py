"""What counts against the stability of the task: its changes, its rows, and drift in production."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from trimtab.decide.stability import format_stable, task_stable
from trimtab.decide.thresholds import THRESHOLDS
from trimtab.store.history import Change, TaskHistory
from trimtab.types import Finding, Remeasured

from .factories import TODAY, evidence, interval, task

EDGE = TODAY - timedelta(days=THRESHOLDS.stable_days)


@pytest.mark.parametrize(
    ("seen", "status"),
    [
        ((), "pass"),
        ((TODAY,), "fail"),
        ((date(2025, 1, 1), EDGE + timedelta(days=1)), "fail"),
        ((EDGE,), "pass"),
    ],
)
def test_drift_of_the_last_month_fails_the_gate(seen, status) -> None:
    found = evidence(history=TaskHistory(drifts=seen))
    gate = task_stable(found)
    assert gate.status == status
    assert ("production drifted" in gate.evidence) is (status == "fail")
    assert format_stable(found).status == "pass", "the output's form did not change"


def drift(**figures: float) -> Finding:
    return Finding(check="drift", severity="warn", message="late rows", count=0, figures=figures)


@pytest.mark.parametrize(
    ("figures", "status"),
    [
        ({"auc": 0.55, "p_value": 0.001}, "pass"),
        ({"auc": 0.65, "p_value": 0.2}, "pass"),
        ({"auc": 0.65, "p_value": 0.01}, "fail"),
        ({"auc": 0.5, "p_value": 0.9, "new_labels": 1, "new_labels_p": 0.5}, "pass"),
        ({"auc": 0.5, "p_value": 0.9, "new_labels": 1, "new_labels_p": 0.01}, "fail"),
    ],
)
def test_later_rows_of_another_kind_fail_the_gate(figures, status) -> None:
    gate = task_stable(evidence(findings=(drift(**figures),)))
    assert (gate.status, "late rows" in gate.evidence) == (status, True)
    assert format_stable(evidence(findings=(drift(**figures),))).status == "pass"


def test_rows_without_a_time_and_too_few_of_them_are_told() -> None:
    assert "rows carry no time" in task_stable(evidence()).evidence
    few = drift().model_copy(update={"measured": False, "message": "12 rows, too few"})
    gate = task_stable(evidence(findings=(few,)))
    assert gate.status == "pass"
    assert "12 rows, too few" in gate.evidence


def changed(*parts: str, days_ago: int = 3) -> TaskHistory:
    day = TODAY - timedelta(days=days_ago)
    return TaskHistory(since=date(2026, 1, 1), changes=(Change(day, parts),))


def test_what_the_newest_change_did_is_told() -> None:
    history = changed("output.labels.c")
    unmeasured = task_stable(evidence(history=history, task=task(traffic={"stable_since": None})))
    assert unmeasured.status == "fail"
    assert "what the newest change did to the score was not measured" in unmeasured.evidence
    found = Remeasured(
        run="20260501-120000-aaaaaaaa",
        name="8 nearest demonstrations",
        parts=("output.labels.c",),
        before=interval(0.88),
        after=interval(0.61),
    )
    told = task_stable(evidence(history=history, remeasured=found)).evidence
    assert "(output.labels.c) moved the score by -0.270" in told
    assert "scored 0.880 (95%: 0.850 to 0.910) on dev before it and scores 0.610" in told


def test_prompts_that_were_tried_and_answers_that_were_graded_are_told_and_do_not_count() -> None:
    history = changed("search.prompts", "scoring.judge.reviews")
    gate = task_stable(evidence(history=history))
    assert gate.status == "pass"
    assert "search.prompts 1" in gate.evidence and "scoring.judge.reviews 1" in gate.evidence
    assert "no change seen since 2026-01-01" in gate.evidence
    assert task_stable(evidence(history=changed("search.prompts", "metric"))).status == "fail"
    assert task_stable(evidence(history=changed("scoring.function"))).status == "fail"


@pytest.mark.parametrize(
    ("after", "day", "stated", "status"),
    [
        (date(2026, 1, 1), date(2026, 3, 15), "2026-02-01", "pass"),  # it may have been that day
        (date(2026, 1, 1), EDGE + timedelta(days=9), "2026-02-01", "pass"),
        (date(2026, 2, 10), date(2026, 3, 15), "2026-02-01", "fail"),  # the old one was seen later
        (None, date(2026, 2, 1), "2026-02-01", "pass"),  # committed on the day that is stated
        (None, date(2026, 2, 2), "2026-02-01", "fail"),
        (date(2026, 1, 1), EDGE + timedelta(days=9), None, "fail"),
    ],
)
def test_a_change_that_was_seen_late_does_not_contradict_an_earlier_day(after, day, stated, status):
    history = TaskHistory(date(2025, 9, 1), (Change(day, ("metric",), after),))
    asked = task(traffic={"stable_since": stated})
    assert task_stable(evidence(history=history, task=asked)).status == status
