"""What the watch keeps: windows of traffic that it tested, its newest check, and alarms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Literal, TypeVar

from pydantic import Field, ValidationError

from trimtab.errors import InputError
from trimtab.store.database import Database
from trimtab.types import Interval, Noun

AlarmKind = Literal["input-drift", "output-mix", "contract", "latency", "cost", "quality"]
DRIFT: tuple[AlarmKind, ...] = ("input-drift", "output-mix")
"""Kinds that say that the task moves. They ask for labels, not for retraining."""
ALARMS_FILE = "alarms.jsonl"
"""Beside the task file: one Alarm a line, as it was opened. The next decision reads it."""
CHECK_FILE = "watch.json"
"""Beside the task file: the newest Check. The next decision reads its traffic."""


_MONTH = timedelta(days=30.44)


class Reading(Noun):
    """What one detector says now."""

    kind: AlarmKind
    state: Literal["quiet", "alarm", "unknown"]
    message: str
    figures: dict[str, float | None] = Field(default_factory=dict)


def whole_hour(moment: datetime) -> datetime:
    """The start of its hour, which names the hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


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
    """Distinct inputs; beyond a thousand, about so many."""
    hours: tuple[Hour, ...]
    mix: dict[str, int]
    """Valid answers by kind: label, filled fields or length."""
    readings: tuple[Reading, ...] = ()
    slow_s: float | None = None
    """Seconds above which `slow` counts a call."""
    cost_limit: float | None = None
    """Cost of a call that is borne; None while it is not known."""
    sample: tuple[str, ...] = ()
    """Ids of calls with distinct inputs, each as likely to be among them."""


class OpenWindow(Noun):
    """The traffic since the last window was closed, as far as it was counted. Holds no text."""

    deployment: int
    number: int
    since: datetime
    until: datetime
    """Calls from before this time are counted."""
    counted_by: str
    """Hash of the settings that it was counted by."""
    hours: tuple[Hour, ...] = ()
    mix: dict[str, int] = Field(default_factory=dict)
    sample: tuple[tuple[int, str], ...] = ()
    """Hash of each sampled input, and the id of a call that had it."""
    seconds: dict[int, float] = Field(default_factory=dict)
    """Calls by step of seconds (`trimtab.watch.counts`)."""


class SideCounts(Noun):
    """What one variant did while two were compared: how often each outcome came."""

    valid: tuple[tuple[bool, float, int], ...] = ()
    """Whether the answer keeps the contract, the weight of such a call, and how many there were."""
    seconds: tuple[tuple[int, float, int], ...] = ()
    """Step of seconds, weight and number."""


class StageCounts(Noun):
    """A challenger and the champion since the challenger came into its role, as far as they were
    counted."""

    stage: str
    """Names the two, the role and its beginning."""
    until: datetime
    champion: SideCounts = SideCounts()
    challenger: SideCounts = SideCounts()


CountsT = TypeVar("CountsT", OpenWindow, StageCounts)


class Traffic(Noun):
    """The calls that callers made in the last days, whole weeks where there are any."""

    since: datetime
    until: datetime
    calls: float
    """By champion and canary together, kept or not."""
    variant: str
    """Id of the champion, whose seconds these are."""
    timed: int
    """Kept calls of it that were answered."""
    p95_s: Interval
    """From a call's arrival to its answer, waiting included; n counts hours."""

    @property
    def calls_per_month(self) -> float:
        return self.calls * _MONTH / (self.until - self.since)


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
    traffic: Traffic | None = None
    """None until a champion served for a whole day."""


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


def keep_counts(database: Database, task: str, name: str, counts: OpenWindow | StageCounts) -> None:
    """Keep what was counted, in the place of what was there under this name."""
    values = (task, name)
    with database.transaction(lock="watch_counts"):
        database.query("DELETE FROM watch_counts WHERE task = ? AND name = ?", values)
        database.query(
            "INSERT INTO watch_counts (task, name, content) VALUES (?, ?, ?)",
            (*values, counts.model_dump_json()),
        )


def read_counts(database: Database, task: str, name: str, kind: type[CountsT]) -> CountsT | None:
    """What was counted so far; None where that is nothing, or another version's, so that it is
    counted anew."""
    rows = database.query(
        "SELECT content FROM watch_counts WHERE task = ? AND name = ?", (task, name)
    )
    try:
        return kind.model_validate_json(rows[0][0]) if rows else None
    except ValidationError:
        return None


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
