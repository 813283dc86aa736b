"""The run directory: everything that one decision did, in files that resume after a kill.

runs/
  latest -> 20260131T120000Z-1a2b3c4d
  20260131T120000Z-1a2b3c4d/
    run.json             what this run decides, and why it was started
    plan.json            what it planned to spend
    asked_again.json     on how many rows the finalists were asked again
    records/             <variant id>-<split>.jsonl, one Record a line
    spent.jsonl          what each stage used, one Spent a line
    test_openings.jsonl  each opening of the sealed test
    adapters/            what the fine-tune arm trained
    seed-<n>/            the same from another seed
    retention/           what came of the retention suite, one file for the base and each adapter
    language.json        bits per byte of the task's texts and of general ones
    exports/             the fine-tune in other programs' forms
    pool.jsonl           rows to retrieve demonstrations from, where a variant does that
    verdict.json         the Decision; with it, the run is finished
    report.html
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

from pydantic import JsonValue, ValidationError

from trimtab.errors import RunError
from trimtab.store import files
from trimtab.types import Noun, Spent, SplitName, content_hash

FORMAT_VERSION: Final = 1

TEST_OPENINGS: Final = "test_openings.jsonl"

_STAMP = "%Y%m%dT%H%M%SZ"
_NAME = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}")
_SETTINGS_NAMED = 5


class RunInfo(Noun):
    """`run.json`."""

    format_version: Literal[1] = FORMAT_VERSION
    created: datetime
    why: str
    """Why this run was started and no earlier one resumed."""
    identity_hash: str
    identity: dict[str, str]
    """Hash of each thing that the results depend on, by its name."""
    settings: JsonValue
    """The resolved task file."""


class Run:
    """A run directory that this process alone may write to, until `close`."""

    def __init__(self, folder: Path, info: RunInfo, lock: int) -> None:
        self.folder = folder
        self.info = info
        self._lock: int | None = lock

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def plan_path(self) -> Path:
        return self.folder / "plan.json"

    @property
    def verdict_path(self) -> Path:
        return self.folder / "verdict.json"

    @property
    def report_path(self) -> Path:
        return self.folder / "report.html"

    @property
    def test_openings_path(self) -> Path:
        return self.folder / TEST_OPENINGS

    @property
    def adapters_path(self) -> Path:
        return self.folder / "adapters"

    @property
    def pool_path(self) -> Path:
        """The rows that variants with nearest demonstrations retrieve from."""
        return self.folder / "pool.jsonl"

    @property
    def finished(self) -> bool:
        return self.verdict_path.exists()

    def records_path(self, variant: str, split: SplitName) -> Path:
        """The records of the variant with this id on this split."""
        return self.folder / "records" / f"{variant}-{split}.jsonl"

    def spend(self, spent: Spent) -> None:
        """Note what a stage just used."""
        files.append(self.folder / "spent.jsonl", [spent])

    def spent(self) -> tuple[Spent, ...]:
        """What was used so far, in this and all earlier sittings: one sum per stage and arm."""
        parts = files.read_nouns(self.folder / "spent.jsonl", Spent)
        return tuple(Spent.by_stage(parts).values())

    def close(self) -> None:
        """Let other processes write to this run."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_run(
    root: Path, identity: Mapping[str, str], settings: JsonValue, fresh: bool = False
) -> tuple[Run, str]:
    """Resume the newest run under `root/runs`, or start a new one if it decided something else.

    Args:
        root: the task folder.
        identity: hash of each thing that the results depend on, by a name that a person
            understands ("task file", "data", "rule").
        settings: the resolved task file, kept in the run and compared to name what changed.
        fresh: start a new run in any case.

    Returns:
        The locked run, and why it is this one.

    Raises:
        RunError: the newest run cannot be read, or another process is working on it.
        DiskFull: the run directory cannot be made.
    """
    runs = root / "runs"
    newest = _newest(runs)
    if newest is None:
        why = "no earlier run of this task"
    elif fresh:
        why = "a fresh run was asked for"
    else:
        info = read_info(newest)
        if info.identity == identity:
            run = Run(newest, info, _lock(newest))
            return run, f"{run.name} is finished" if run.finished else f"resuming {run.name}"
        why = _what_changed(newest.name, info, identity, settings)
    return _create(runs, newest, identity, settings, why), why


def read_info(folder: Path) -> RunInfo:
    """Read `run.json` of a run directory.

    Raises:
        RunError: it is missing, damaged, or of another format version.
    """
    path = folder / "run.json"
    advice = f"move {folder} away, or start a fresh run with --fresh"
    try:
        raw = json.loads(path.read_bytes())
        if isinstance(raw, dict) and raw.get("format_version", FORMAT_VERSION) != FORMAT_VERSION:
            raise RunError(
                f"{path}: this run has format version {raw['format_version']!r}, and this Trimtab "
                f"reads version {FORMAT_VERSION}; use the Trimtab that wrote it, {advice}"
            )
        return RunInfo.model_validate(raw)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing, so this is no run directory; {advice}") from error
    except (ValueError, RecursionError) as error:
        problem = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise RunError(f"{path} is damaged: {problem}; {advice}") from error


def _create(
    runs: Path,
    newest: Path | None,
    identity: Mapping[str, str],
    settings: JsonValue,
    why: str,
) -> Run:
    """Make the run directory under another name first, so that it is never seen half made."""
    created = datetime.now(UTC)
    info = RunInfo(
        created=created,
        why=why,
        identity_hash=_identity_hash(identity),
        identity=dict(identity),
        settings=settings,
    )
    folder = runs / f"{_next_stamp(newest, created)}-{info.identity_hash[:8]}"
    with files.translate_disk_full(folder):
        runs.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=runs, prefix=".new-") as temporary:
            draft = Path(temporary) / "run"
            files.write_atomic(draft / "run.json", info.model_dump_json(indent=2) + "\n")
            try:
                draft.rename(folder)
            except OSError as error:
                if not folder.exists():
                    raise
                raise RunError(
                    f"another process started {folder} at the same moment; wait for it, "
                    "then run the same command again"
                ) from error
        run = Run(folder, info, _lock(folder))
        _point_latest(runs, folder.name)
    return run


def _lock(folder: Path) -> int:
    try:
        return files.lock(folder / ".lock", wait=False)
    except BlockingIOError as error:
        raise RunError(
            f"another process is working on this run ({folder}); wait for it to end, or stop it"
        ) from error


def _newest(runs: Path) -> Path | None:
    if not runs.is_dir():
        return None
    folders = [path for path in runs.iterdir() if _NAME.fullmatch(path.name)]
    return max(folders, key=lambda path: path.name, default=None)


def _next_stamp(newest: Path | None, now: datetime) -> str:
    """The time, moved on where needed so that names sort by age even if the clock goes back."""
    if newest is not None and (match := _NAME.fullmatch(newest.name)):
        last = datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
        now = max(now, last + timedelta(seconds=1))
    return now.strftime(_STAMP)


def _point_latest(runs: Path, name: str) -> None:
    with tempfile.TemporaryDirectory(dir=runs, prefix=".latest-") as temporary:
        link = Path(temporary) / "latest"
        link.symlink_to(name)
        link.replace(runs / "latest")


def _identity_hash(identity: Mapping[str, str]) -> str:
    return content_hash(*(text for pair in sorted(identity.items()) for text in pair))


def _what_changed(
    name: str, info: RunInfo, identity: Mapping[str, str], settings: JsonValue
) -> str:
    names = [key for key in identity if info.identity.get(key) != identity[key]]
    names += [key for key in info.identity if key not in identity]
    reason = f"changed since {name}: {', '.join(names)}"
    if paths := changed_settings(info.settings, settings):
        shown = ", ".join(paths[:_SETTINGS_NAMED])
        more = len(paths) - _SETTINGS_NAMED
        reason += f" ({shown}{f' and {more} more' if more > 0 else ''})"
    return reason


def changed_settings(old: JsonValue, new: JsonValue, path: str = "") -> list[str]:
    """Dotted paths of the settings that differ, sorted; lists are compared as wholes."""
    if old == new:
        return []
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return [path] if path else []
    changes = []
    for key in sorted(old.keys() | new.keys()):
        if key in old and key in new:
            changes += changed_settings(old[key], new[key], f"{path}.{key}" if path else key)
        else:
            changes.append(f"{path}.{key}" if path else key)
    return changes
