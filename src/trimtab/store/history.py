"""What git, the runs and the watch of a task tell: its changes, its tests and its traffic."""

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
from trimtab.store.run import TEST_OPENINGS, RunInfo, read_info
from trimtab.store.watching import ALARMS_FILE, CHECK_FILE, DRIFT, Alarm, Check, Traffic
from trimtab.task.load import TASK_FILE
from trimtab.task.spec import Task
from trimtab.types import content_hash

_MOST_COMMITS = 100
_GIT_SECONDS = 10.0

Meaning = dict[str, JsonValue]
"""What the task asks, by part: instructions, metric, scoring, and each label and field of the
output; and the files that belong to it, by their hashes. Goals, prices and budgets may change
freely."""

_PROMPTS = "search.prompts"
_FUNCTION = "scoring.function"
_REVIEWS = "scoring.judge.reviews"
_FILES = (_PROMPTS, _FUNCTION, _REVIEWS)
MEANS = (_PROMPTS, _REVIEWS)
"""Parts that are tried or collected for a task and do not say what it asks: trying another prompt,
or grading more answers, makes it no other task."""


@dataclass(frozen=True)
class Change:
    """On `day` the task was first seen with other `parts` than before."""

    day: date
    parts: tuple[str, ...]
    after: date | None = None
    """The last day on which it was seen as before, where a run saw the change and not a commit: it
    was made between the two."""

    def told_by(self, stated: date | None) -> date:
        """The day of the change, if the team says that the task stands since `stated`: that one,
        where what was seen allows for it."""
        allows = stated is not None and self.after is not None and self.after <= stated <= self.day
        return stated if stated is not None and allows else self.day


@dataclass(frozen=True)
class TaskHistory:
    """The changes of what a task asks, oldest first, seen from `since` on (None: never seen)."""

    since: date | None = None
    changes: tuple[Change, ...] = ()
    drifts: tuple[date, ...] = ()
    """When the watch saw inputs or answers drift."""
    served: Traffic | None = None
    """What the watch last saw of the traffic; None where Trimtab does not serve the task."""


def task_history(root: Path) -> TaskHistory:
    """The history of the task in `root`, from its runs and, where it lies in a git repository, from
    the commits of its file and of the files that it names. What cannot be read is passed over."""
    committed, decided = list(_committed(root)), list(_decided(root))
    if any(_PROMPTS in parts for _, parts in committed):
        # Runs hash prompts as they are read and not as they are written: the two do not compare.
        for _, parts in decided:
            parts.pop(_PROMPTS, None)
    versions = sorted([*committed, *decided], key=lambda version: version[0])
    runs = {when for when, _ in decided}
    changes = []
    known: Meaning = versions[0][1] if versions else {}
    for (before, _), (when, now) in pairwise(versions):
        if changed := changed_parts(known, now):
            after = before.date() if when in runs else None
            changes.append(Change(when.date(), changed, after))
        known = {**{name: known[name] for name in _FILES if name in known}, **now}
    since = versions[0][0].date() if versions else None
    return TaskHistory(since, tuple(changes), tuple(sorted(_drifted(root))), _served(root))


def changed_parts(before: Meaning, after: Meaning) -> tuple[str, ...]:
    """Names of the parts that differ. A file differs only where its content is known on both sides:
    that another one is named shows in the settings."""
    return tuple(
        name
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
        and (name not in _FILES or (name in before and name in after))
    )


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


def _served(root: Path) -> Traffic | None:
    """The traffic that the watch's newest check saw, from the file that it leaves."""
    path = root / CHECK_FILE
    try:
        return Check.model_validate_json(path.read_bytes()).traffic if path.exists() else None
    except (OSError, ValidationError):
        return None


def _decided(root: Path) -> Iterator[tuple[datetime, Meaning]]:
    for folder in sorted((root / "runs").glob("*-*")):
        try:
            info = read_info(folder)
        except RunError:
            continue
        if found := meaning_of_run(info):
            yield info.created, found


def meaning_of_run(info: RunInfo) -> Meaning | None:
    """What the task asked in a run, with the hashes of its files; None where it is not told."""
    if not isinstance(info.settings, dict):
        return None
    names = {"own prompts": _PROMPTS, _FUNCTION: _FUNCTION, _REVIEWS: _REVIEWS}
    files = {part: info.identity[name] for name, part in names.items() if name in info.identity}
    return {**meaning(info.settings), **files}


def _committed(root: Path) -> Iterator[tuple[datetime, Meaning]]:
    try:
        now = _settings((root / TASK_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        now = None
    paths = [path for paths in _files(now or {}).values() for path in paths]
    log = _git(root, "log", f"-n{_MOST_COMMITS}", "--format=%H %cI", "--", TASK_FILE, *paths)
    for line in log.decode("utf-8", "replace").splitlines():
        commit, when = line.split()
        text = _git(root, "show", f"{commit}:./{TASK_FILE}").decode("utf-8", "replace")
        settings = _settings(text)
        if settings is not None:
            files = _hashes(root, commit, _files(settings))
            yield datetime.fromisoformat(when), {**meaning(settings), **files}


def _files(settings: Mapping[str, JsonValue]) -> dict[str, list[str]]:
    """The task's own files, relative to its folder, by the part that names them."""
    search, scoring = settings.get("search"), settings.get("scoring")
    prompts = search.get("prompts") if isinstance(search, dict) else None
    found = {_PROMPTS: prompts if isinstance(prompts, list) else []}
    if isinstance(scoring, dict):
        function, judge = scoring.get("function"), scoring.get("judge")
        found[_FUNCTION] = [function.rpartition(":")[0]] if isinstance(function, str) else []
        found[_REVIEWS] = [judge.get("reviews")] if isinstance(judge, dict) else []
    names = {
        part: [path for path in paths if isinstance(path, str)] for part, paths in found.items()
    }
    return {part: paths for part, paths in names.items() if paths}


def _hashes(root: Path, commit: str, files: Mapping[str, list[str]]) -> Meaning:
    """Hash of each part's files as they were committed, as runs have it; left out where one was
    not."""
    found: Meaning = {}
    for part, paths in files.items():
        contents = [_git(root, "show", f"{commit}:./{path}") for path in paths]
        if all(contents):
            found[part] = content_hash(*(content.hex() for content in contents))
    return found


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


def _git(root: Path, *arguments: str) -> bytes:
    """What git prints; nothing where there is no git, or `root` lies in no repository."""
    try:
        found = subprocess.run(  # noqa: S603 - no shell, and fixed arguments
            ["git", "-C", str(root), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            check=False,
            timeout=_GIT_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return found.stdout if found.returncode == 0 else b""


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
