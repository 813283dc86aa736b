"""What the watch keeps: windows of traffic that it tested, its newest check, and alarms."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from trimtab.errors import InputError
from trimtab.store.database import Database
from trimtab.types import Interval, Noun

AlarmKind = Literal["input-drift", "output-mix", "contract", "latency", "cost", "quality"]
DRIFT: tuple[AlarmKind, ...] = ("input-drift", "output-mix")
"""Kinds that say that the task moves. They ask for labels, not for retraining."""
ALARMS_FILE = "alarms.jsonl"
"""Beside the task file: one Alarm a line, as it was opened. The next decision reads it."""


class Reading(Noun):
    """What one detector says now."""

    kind: AlarmKind
    state: Literal["quiet", "alarm", "unknown"]
    message: str
    figures: dict[str, float | None] = Field(default_factory=dict)


class Hour(Noun):
    """The champion's calls of one hour, in sums that stand for all calls, kept or not."""

    start: datetime
    calls: float = 0.0
    broken: float = 0.0
    """Calls without an answer that keeps the contract."""
    slow: float = 0.0
    """Calls above the limit of latency; 0 while there is none."""
    cost: float = 0.0
    """Money, or tokens where the task file names no prices."""


class Window(Noun):
    """A closed piece of traffic, with what was tested on it. Holds no text."""

    number: int
    """From 0, the baseline, within one champion's time."""
    since: datetime
    until: datetime
    inputs: int
    """Distinct inputs."""
    hours: tuple[Hour, ...]
    mix: dict[str, int]
    """Valid answers by kind: label, filled fields or length."""
    readings: tuple[Reading, ...] = ()
    slow_s: float | None = None
    """Seconds above which `slow` counts a call."""
    cost_limit: float | None = None
    """Cost of a call that is borne; None while it is not known."""


class Check(Noun):
    """One look at a task's traffic."""

    task: str
    time: datetime
    deployment: int
    """The change with which this champion's time began."""
    since: datetime
    calls: float
    """The champion's calls since then."""
    readings: tuple[Reading, ...]
    quality: Interval | None = None
    """On reviewed traffic, corrected for how it was sampled; holds at all looks together."""
    floor: float | None = None
    """Quality below which retraining is called for."""
    reference: Interval | None = None
    """What the sealed test measured of this champion."""


class Alarm(Noun):
    """A signal that the task moved. It stands until a person closes it or the champion changes."""

    id: str
    """Begins with the time, as a trace's does."""
    task: str
    kind: AlarmKind
    opened: datetime
    deployment: int
    message: str
    labels_wanted: int = 0
    """Random calls since `opened` that should be reviewed, so that quality shows."""
    retrain: bool = False
    """Whether it calls for retraining: quality fell below what the task tolerates."""
    told: bool = False
    """Whether the webhook got it."""
    closed: datetime | None = None
    closed_by: str | None = None
    closed_why: str | None = None


def add_window(database: Database, task: str, deployment: int, window: Window) -> None:
    """Keep a closed window; one that is there already stays as it is."""
    with database.transaction():
        database.insert(
            "watch_windows",
            "task, deployment, number, content",
            [(task, deployment, window.number, window.model_dump_json())],
        )


def read_windows(database: Database, task: str, deployment: int) -> list[Window]:
    """The closed windows of one champion's time, the oldest first."""
    rows = database.query(
        "SELECT content FROM watch_windows WHERE task = ? AND deployment = ? ORDER BY number",
        (task, deployment),
    )
    return [Window.model_validate_json(content) for (content,) in rows]


def keep_check(database: Database, check: Check) -> None:
    """Keep the task's newest check, in the place of the one before."""
    with database.transaction(lock="watch_checks"):
        database.query("DELETE FROM watch_checks WHERE task = ?", (check.task,))
        database.query(
            "INSERT INTO watch_checks (task, time, content) VALUES (?, ?, ?)",
            (check.task, check.time.timestamp(), check.model_dump_json()),
        )


def newest_check(database: Database, task: str) -> Check | None:
    """The task's newest check; None where it was never watched."""
    rows = database.query("SELECT content FROM watch_checks WHERE task = ?", (task,))
    return Check.model_validate_json(rows[0][0]) if rows else None


def open_alarm(database: Database, alarm: Alarm) -> bool:
    """Keep a new alarm; False where one of its kind stands already."""
    with database.transaction(lock="alarms"):
        if any(each.kind == alarm.kind for each in standing(database, alarm.task)):
            return False
        database.query(
            "INSERT INTO alarms (id, task, closed, content) VALUES (?, ?, NULL, ?)",
            (alarm.id, alarm.task, alarm.model_dump_json()),
        )
    return True


def close_alarm(database: Database, task: str, alarm: str, who: str, why: str) -> Alarm:
    """Close a standing alarm; what raised it starts anew.

    Raises:
        InputError: no alarm with this id stands.
    """
    with database.transaction(lock="alarms"):
        found = next((each for each in standing(database, task) if each.id == alarm), None)
        if found is None:
            raise InputError(
                f"no alarm {alarm} of task {task} stands; `trimtab watch --once` lists them"
            )
        now = datetime.now(UTC)
        closed = found.model_copy(update={"closed": now, "closed_by": who, "closed_why": why})
        database.query(
            "UPDATE alarms SET closed = ?, content = ? WHERE id = ?",
            (now.timestamp(), closed.model_dump_json(), alarm),
        )
    return closed


def mark_told(database: Database, alarm: Alarm) -> None:
    """Note that the webhook got a standing alarm."""
    told = alarm.model_copy(update={"told": True})
    with database.transaction():
        database.query(
            "UPDATE alarms SET content = ? WHERE id = ? AND closed IS NULL",
            (told.model_dump_json(), alarm.id),
        )


def standing(database: Database, task: str) -> list[Alarm]:
    """Alarms that nobody closed, the oldest first."""
    rows = database.query(
        "SELECT content FROM alarms WHERE task = ? AND closed IS NULL ORDER BY id", (task,)
    )
    return [Alarm.model_validate_json(content) for (content,) in rows]


def list_alarms(database: Database, task: str, last: int = 50) -> list[Alarm]:
    """The last alarms of the task, closed ones too, the newest first."""
    rows = database.query(
        "SELECT content FROM alarms WHERE task = ? ORDER BY id DESC LIMIT ?", (task, last)
    )
    return [Alarm.model_validate_json(content) for (content,) in rows]
