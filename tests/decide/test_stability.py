"""Drift that the watch saw in production counts against the stability of the task, for a month."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from trimtab.decide.stability import format_stable, task_stable
from trimtab.decide.thresholds import THRESHOLDS
from trimtab.store.history import TaskHistory

from .factories import TODAY, evidence

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
