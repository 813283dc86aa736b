"""One look at a task's traffic: closes windows, reads detectors, opens alarms and tells them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from trimtab.errors import DiskFull, InputError, RunError
from trimtab.predictor import read_decision
from trimtab.serve.settings import load_settings as load_serve_settings
from trimtab.store.database import Database
from trimtab.store.deployments import Change, Deployed, champion_since, history
from trimtab.store.files import write_atomic
from trimtab.store.reviews import ReviewedCall, request_items, reviewed_calls
from trimtab.store.traces import get_traces, new_id, read_traces
from trimtab.store.watching import (
    ALARMS_FILE,
    CHECK_FILE,
    DRIFT,
    Alarm,
    AlarmKind,
    Check,
    OpenWindow,
    Reading,
    Traffic,
    Window,
    add_window,
    close_alarm,
    keep_check,
    keep_counts,
    list_alarms,
    mark_told,
    newest_check,
    open_alarm,
    read_counts,
    read_windows,
    standing,
    whole_hour,
)
from trimtab.task.spec import ModelSpec, Task
from trimtab.types import VariantScore
from trimtab.watch.notify import WebhookRefused, post, write
from trimtab.watch.quality import find_floor, live_quality, quality, time_of
from trimtab.watch.rates import Limits, limits, rates
from trimtab.watch.settings import WatchSettings
from trimtab.watch.traffic import AGAIN_AFTER, DAYS, traffic
from trimtab.watch.windows import ChampionCalls, Cutter

WHO = "trimtab watch"
_OPEN = "window"

Post = Callable[[Alarm], None]


@dataclass(frozen=True)
class Watched:
    """What is watched, and with what."""

    folder: Path
    task: Task
    settings: WatchSettings
    database: Database


@dataclass(frozen=True)
class Looked:
    """What a check found. `opened` are the alarms that are new; `problems` could not be told."""

    check: Check
    opened: tuple[Alarm, ...]
    standing: tuple[Alarm, ...]
    problems: tuple[str, ...]


def check(watched: Watched, now: datetime, tell: Post | None = None) -> Looked:
    """Look at all traffic until `now`, keep what was found, and tell new alarms.

    `tell` takes the place of the webhook in tests.

    Raises:
        InputError: nothing serves this task yet.
        DatabaseUnavailable: the database cannot be used.
    """
    database, task = watched.database, watched.task
    begun = champion_since(database, task.name)
    if begun is None:
        raise InputError(f"nothing serves {task.name} yet; promote a run first")
    _close_old(database, task.name, begun.number)
    found = _look(watched, begun, now)
    opened = _open(watched, found, now)
    keep_check(database, found)
    problems = (*_tell(watched, tell), *_write(watched, found))
    return Looked(found, opened, tuple(standing(database, task.name)), problems)


def sealed_score(folder: Path, deployed: Deployed) -> VariantScore | None:
    """What the sealed test of its run measured of this variant; None where it did not meet it."""
    try:
        decision = read_decision(folder / "runs" / deployed.run)
    except RunError:
        return None
    return decision.score_of(deployed.variant)


def model_of(task: Task, score: VariantScore | None) -> ModelSpec:
    """The task file's model of the arm that a variant belongs to, for its prices."""
    tuned = score is not None and score.arm == "fine-tune" and task.models.tune is not None
    return task.models.tune if tuned and task.models.tune else task.models.prompt


def _look(watched: Watched, begun: Change, now: datetime) -> Check:
    task, settings, database = watched.task, watched.settings, watched.database
    champion = begun.state.champion
    assert champion is not None
    score = sealed_score(watched.folder, champion)
    since = {kind: max(begun.time, time) for kind, time in _restarts(database, task.name).items()}
    spec = model_of(task, score)
    known = limits(task, spec, score)
    serving = load_serve_settings(watched.folder)
    kept_since = now - timedelta(days=serving.capture.retention_days)
    keep = _keeper(watched, begun)
    cutter = Cutter(
        task, spec, settings.traffic, known, _calls_of(watched, champion, kept_since), keep
    )
    counted = cutter.count(
        read_windows(database, task.name, begun.number),
        read_counts(database, task.name, _OPEN, OpenWindow),
        (begun.number, begun.time),
        now - serving.settled_after,
        now,
    )
    windows = counted.windows
    seen = [*(hour for window in windows for hour in window.hours), *counted.hours]
    calls = [call for call in reviewed_calls(database, task.name) if _is_of(call, champion, begun)]
    tolerance = settings.quality.tolerance
    least = find_floor(
        score.quality if score else None,
        task.goals.smallest_difference if tolerance is None else tolerance,
        settings.quality.floor,
    )
    starts = _after_learning(known, windows[0].until if windows else now, since)
    return Check(
        task=task.name,
        time=now,
        deployment=begun.number,
        since=begun.time,
        calls=sum(hour.calls for hour in seen),
        readings=(
            *_drift_readings(windows, since),
            *rates(seen, counted.limits, starts, begun.time),
            quality(calls, since.get("quality", begun.time), least),
        ),
        quality=live_quality(calls),
        floor=least.value if least else None,
        reference=score.quality if score else None,
        traffic=_traffic(watched, begun, kept_since, whole_hour(now)),
    )


def _traffic(watched: Watched, begun: Change, kept: datetime, until: datetime) -> Traffic | None:
    """All calls of the last days in which they were served and kept, whoever was the champion;
    what was counted within a day stands."""
    database, name = watched.database, watched.task.name
    assert begun.state.champion is not None
    champion = begun.state.champion.variant
    before = newest_check(database, name)
    known = before.traffic if before is not None else None
    if known and known.variant == champion and until - known.until < AGAIN_AFTER:
        return known
    (*_, first) = history(database, name, last=begun.number)
    since = max(first.time, kept, until - timedelta(days=DAYS))
    return traffic(read_traces(database, name, since, until), since, until, champion)


def _after_learning(
    known: Limits, learnt: datetime, since: dict[AlarmKind, datetime]
) -> dict[AlarmKind, datetime]:
    """When stakes begin: where a limit is taken from the first window, no sooner than after it."""
    found = dict(since)
    if known.slow_s is None:
        found["latency"] = max(learnt, since.get("latency", learnt))
    if known.cost is None:
        found["cost"] = max(learnt, since.get("cost", learnt))
    return found


def _drift_readings(windows: Sequence[Window], since: dict[AlarmKind, datetime]) -> list[Reading]:
    """The newest window's, or an alarming one since the last alarm of its kind was closed."""
    found = []
    for kind in DRIFT:
        readings = [
            reading
            for window in windows
            for reading in window.readings
            if reading.kind == kind and (kind not in since or window.since >= since[kind])
        ]
        alarming = [reading for reading in readings if reading.state == "alarm"]
        if readings:
            found.append((alarming or readings)[-1])
        else:
            message = "no second window of traffic is over yet"
            found.append(Reading(kind=kind, state="unknown", message=message))
    return found


def _is_of(call: ReviewedCall, champion: Deployed, begun: Change) -> bool:
    return call.variant == champion.variant and time_of(call) >= begun.time


def _calls_of(watched: Watched, champion: Deployed, kept_since: datetime) -> ChampionCalls:
    """Answers that the champion gave to callers."""
    database, name = watched.database, watched.task.name
    return ChampionCalls(
        calls=lambda since, until: read_traces(
            database, name, since, until, role="champion", variant=champion.variant
        ),
        inputs=lambda ids: [trace.input for trace in get_traces(database, name, ids)],
        kept_since=kept_since,
    )


def _keeper(watched: Watched, begun: Change) -> Callable[[Window | OpenWindow], None]:
    database, name = watched.database, watched.task.name

    def keep(counted: Window | OpenWindow) -> None:
        if isinstance(counted, Window):
            add_window(database, name, begun.number, counted)
        else:
            keep_counts(database, name, _OPEN, counted)

    return keep


def _restarts(database: Database, task: str) -> dict[AlarmKind, datetime]:
    """When each kind's last alarm was closed: what was seen before it has been dealt with."""
    found: dict[AlarmKind, datetime] = {}
    for alarm in list_alarms(database, task):
        if alarm.closed is not None:
            found[alarm.kind] = max(alarm.closed, found.get(alarm.kind, alarm.closed))
    return found


def _close_old(database: Database, task: str, deployment: int) -> None:
    """Alarms about an earlier champion have no object any more."""
    for alarm in standing(database, task):
        if alarm.deployment != deployment:
            close_alarm(database, task, alarm.id, WHO, f"change {deployment} made a new champion")


def _open(watched: Watched, found: Check, now: datetime) -> tuple[Alarm, ...]:
    """Open an alarm for each alarming reading, and ask for reviews where answers may have moved."""
    opened = []
    for reading in found.readings:
        if reading.state != "alarm":
            continue
        wanted = watched.settings.quality.labels if reading.kind in DRIFT else 0
        alarm = Alarm(
            id=new_id(now.timestamp()),
            task=watched.task.name,
            kind=reading.kind,
            opened=now,
            deployment=found.deployment,
            message=reading.message,
            labels_wanted=wanted,
            retrain=reading.kind == "quality",
        )
        with watched.database.transaction(lock="alarms"):
            if not open_alarm(watched.database, alarm):
                continue
            if wanted:
                request_items(watched.database, watched.task.name, wanted, WHO, reading.message)
        opened.append(alarm)
    return tuple(opened)


def _write(watched: Watched, found: Check) -> tuple[str, ...]:
    """Bring both files to what the database says, as after a kill or a full disk."""
    alarms = reversed(list_alarms(watched.database, watched.task.name))
    try:
        write_atomic(watched.folder / CHECK_FILE, found.model_dump_json(indent=2) + "\n")
        write(watched.folder / ALARMS_FILE, alarms)
    except DiskFull as error:
        return (str(error),)
    return ()


def _tell(watched: Watched, tell: Post | None) -> tuple[str, ...]:
    """Send to the webhook what it has not got yet; what fails is tried again at the next check."""
    settings = watched.settings.alarms
    if tell is None and settings.webhook is None:
        return ()
    send = tell or (lambda alarm: post(settings, alarm))
    problems = []
    for alarm in standing(watched.database, watched.task.name):
        if alarm.told:
            continue
        try:
            send(alarm)
        except WebhookRefused as error:
            problems.append(str(error))
        else:
            mark_told(watched.database, alarm)
    return tuple(problems)
