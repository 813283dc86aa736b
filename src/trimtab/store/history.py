"""What git and the runs of a task tell: how often it changed, and how often it was tested."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path

import yaml
from pydantic import JsonValue, ValidationError

from trimtab.errors import RunError
from trimtab.store.run import TEST_OPENINGS, read_info
from trimtab.store.watching import ALARMS_FILE, DRIFT, Alarm
from trimtab.task.load import TASK_FILE
from trimtab.task.spec import Task

_MOST_COMMITS = 100
_GIT_SECONDS = 10.0

Meaning = dict[str, JsonValue]
"""What the task asks, by part: instructions, metric, scoring, and each label and field of the
output. Goals, prices and budgets may change freely."""


@dataclass(frozen=True)
class Change:
    """On `day` the task was first seen with other `parts` than before."""

    day: date
    parts: tuple[str, ...]


@dataclass(frozen=True)
class TaskHistory:
    """The changes of what a task asks, oldest first, seen from `since` on (None: never seen)."""

    since: date | None = None
    changes: tuple[Change, ...] = ()
    drifts: tuple[date, ...] = ()
    """When the watch saw inputs or answers drift."""


def task_history(root: Path) -> TaskHistory:
    """The history of the task in `root`, from its runs and, where it lies in a git repository, from
    the commits of its file. What cannot be read is passed over."""
    versions = sorted([*_committed(root), *_decided(root)], key=lambda version: version[0])
    changes = []
    for (_, before), (when, after) in pairwise(versions):
        keys = sorted(before.keys() | after.keys())
        parts = tuple(key for key in keys if before.get(key) != after.get(key))
        if parts:
            changes.append(Change(when.date(), parts))
    since = versions[0][0].date() if versions else None
    return TaskHistory(since, tuple(changes), tuple(sorted(_drifted(root))))


def meaning(settings: Mapping[str, JsonValue]) -> Meaning:
    """The parts of a task file's settings that say what the task is."""
    parts: Meaning = {"instructions": " ".join(str(settings.get("instructions", "")).split())}
    parts["metric"] = settings.get("metric")
    parts["scoring"] = _chosen(settings.get("scoring"))
    output = settings.get("output")
    if not isinstance(output, dict):
        return parts
    parts["output.kind"] = output.get("kind")
    labels, schema = output.get("labels"), output.get("schema")
    for label in labels if isinstance(labels, list) else ():
        parts[f"output.labels.{label}"] = True
    if isinstance(schema, dict):
        fields = schema.get("properties")
        for name, field in fields.items() if isinstance(fields, dict) else ():
            parts[f"output.schema.{name}"] = field
        parts["output.schema"] = {k: v for k, v in schema.items() if k != "properties"}
    return parts


def _drifted(root: Path) -> Iterator[date]:
    """Days of the watch's alarms of drift, from the file that it writes for people."""
    path = root / ALARMS_FILE
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            alarm = Alarm.model_validate_json(line)
        except ValidationError:
            continue
        if alarm.kind in DRIFT:
            yield alarm.opened.date()


def _decided(root: Path) -> Iterator[tuple[datetime, Meaning]]:
    for folder in sorted((root / "runs").glob("*-*")):
        try:
            info = read_info(folder)
        except RunError:
            continue
        if isinstance(info.settings, dict):
            yield info.created, meaning(info.settings)


def _committed(root: Path) -> Iterator[tuple[datetime, Meaning]]:
    log = _git(root, "log", f"-n{_MOST_COMMITS}", "--format=%H %cI", "--", TASK_FILE)
    for line in log.splitlines():
        commit, when = line.split()
        settings = _settings(_git(root, "show", f"{commit}:./{TASK_FILE}"))
        if settings is not None:
            yield datetime.fromisoformat(when), meaning(settings)


def _settings(text: str) -> dict[str, JsonValue] | None:
    """A task file's settings with today's defaults, where it can still be read so."""
    try:
        raw = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    if not isinstance(raw, dict):
        return None
    try:
        return Task.model_validate(raw).model_dump(mode="json", by_alias=True)
    except ValidationError:
        return raw


def _git(root: Path, *arguments: str) -> str:
    """What git prints; nothing where there is no git, or `root` lies in no repository."""
    try:
        found = subprocess.run(  # noqa: S603 - no shell, and fixed arguments
            ["git", "-C", str(root), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            check=False,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.decode("utf-8", "replace") if found.returncode == 0 else ""


def _chosen(scoring: JsonValue) -> JsonValue:
    """What is set in a section; runs from before it was there had nothing set."""
    return {k: v for k, v in scoring.items() if v} if isinstance(scoring, dict) else {}


def test_uses(run: Path) -> int | None:
    """How often this run and the others beside it opened the test rows that this run opened.

    Opened again for the same reason, as a run does that was cut off, they count once a run. None
    where this run opened none. Lines that a kill left unfinished are passed over.
    """
    own = _openings(run)
    if not own:
        return None
    content = own[-1]["content"]
    return sum(
        len({line["reason"] for line in _openings(folder) if line["content"] == content})
        for folder in run.parent.glob("*-*")
    )


def _openings(run: Path) -> list[dict[str, str]]:
    path = run / TEST_OPENINGS
    found = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
