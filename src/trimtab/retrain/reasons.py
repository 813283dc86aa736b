"""What calls for deciding a task again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.store.watching import Alarm
from trimtab.task.spec import Task

_DAYS_A_MONTH = 30.44


@dataclass(frozen=True)
class Known:
    """What is known of a task that serves.

    `decided`: when the champion's run was started, or the newest retraining since. What that one
    knew of calls for no other, or a daily timer would open the sealed test day after day.
    """

    task: Task
    alarms: Sequence[Alarm]
    decided: datetime
    new_rows: int
    """Rows that experts approved or corrected since then."""
    rows_wanted: int
    """From so many on, they call for it by themselves."""


def reasons(known: Known, now: datetime, asked: str | None = None) -> list[str]:
    """Each thing that calls for it, in words. `asked` is a person's reason.

    Drift alone does not: it asks for labels, and they show whether quality fell.
    """
    found = [asked] if asked else []
    found += [f"alarm: {alarm.message}" for alarm in _unanswered(known)]
    due = _due(known)
    if due is not None and now >= due:
        months = known.task.upkeep.retrain_every_months
        found.append(f"due since {due:%Y-%m-%d}: every {months:g} months (upkeep)")
    if known.new_rows >= known.rows_wanted:
        found.append(f"{known.new_rows} newly reviewed rows, {known.rows_wanted} are enough")
    return found


def waiting_for(known: Known) -> str:
    """What would call for it next."""
    stands = any(alarm.retrain and alarm.opened <= known.decided for alarm in known.alarms)
    parts = [
        f"the retraining of {known.decided:%Y-%m-%d} knew of the alarm about quality"
        if stands
        else "no alarm about quality stands",
        f"{known.new_rows} of {known.rows_wanted} newly reviewed rows are there",
    ]
    due = _due(known)
    if due is not None:
        parts.append(f"it is due on {due:%Y-%m-%d}")
    return "; ".join(parts)


def _unanswered(known: Known) -> list[Alarm]:
    return [alarm for alarm in known.alarms if alarm.retrain and alarm.opened > known.decided]


def _due(known: Known) -> datetime | None:
    months = known.task.upkeep.retrain_every_months
    return None if months is None else known.decided + timedelta(days=months * _DAYS_A_MONTH)
