"""What calls for deciding again, and what does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from decisions import write_task
from trimtab.retrain.reasons import Known, reasons, waiting_for
from trimtab.store.watching import Alarm
from trimtab.task.load import load_task

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def known(tmp_path, months=None, rows=0, alarms=()) -> Known:
    task = load_task(write_task(tmp_path, upkeep={"retrain_every_months": months}))
    return Known(task, alarms, NOW - timedelta(days=100), rows, 50)


def alarm(kind: str) -> Alarm:
    return Alarm(
        id="0" * 28,
        task="names",
        kind=kind,  # type: ignore[arg-type]
        opened=NOW,
        deployment=1,
        message=f"{kind} moved",
        retrain=kind == "quality",
    )


def test_nothing_calls_for_it_by_itself(tmp_path) -> None:
    quiet = known(tmp_path, rows=49)
    assert reasons(quiet, NOW) == []
    assert "49 of 50" in waiting_for(quiet)


def test_drift_alone_does_not(tmp_path) -> None:
    assert reasons(known(tmp_path, alarms=[alarm("input-drift")]), NOW) == []


def test_each_reason_counts(tmp_path) -> None:
    assert reasons(known(tmp_path, alarms=[alarm("quality")]), NOW) == ["alarm: quality moved"]
    assert "due since" in reasons(known(tmp_path, months=3), NOW)[0]
    assert reasons(known(tmp_path, months=4), NOW) == []
    assert "it is due on" in waiting_for(known(tmp_path, months=4))
    assert "50 newly reviewed" in reasons(known(tmp_path, rows=50), NOW)[0]
    assert reasons(known(tmp_path), NOW, "a person asks") == ["a person asks"]


def test_a_retraining_answers_what_it_knew_of(tmp_path) -> None:
    """Else a daily timer would decide anew, and open the test, until someone closes the alarm."""
    before = alarm("quality")
    just_now = replace(known(tmp_path, months=3, alarms=[before]), decided=NOW)
    assert reasons(just_now, NOW + timedelta(days=1)) == []
    assert "knew of the alarm" in waiting_for(just_now)
    later = before.model_copy(update={"opened": NOW + timedelta(days=2)})
    again = replace(just_now, alarms=[before, later])
    assert reasons(again, NOW + timedelta(days=3)) == ["alarm: quality moved"]
    assert "due since" in reasons(just_now, NOW + timedelta(days=100))[0]
