"""Watches a task: once, or again and again until it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from trimtab.errors import DatabaseUnavailable
from trimtab.store.database import Database
from trimtab.task.load import load_task
from trimtab.watch.check import Looked, Watched, check
from trimtab.watch.rollout import advance
from trimtab.watch.settings import load_settings


def open_watched(task_path: Path, database: Database) -> Watched:
    """The task at this path with its settings. Raises `TaskError`."""
    folder = task_path if task_path.is_dir() else task_path.parent
    return Watched(folder, load_task(task_path), load_settings(folder), database)


def look(watched: Watched) -> tuple[Looked, str | None]:
    """One check, and what became of a staged promotion; raises as `check`."""
    now = datetime.now(UTC)
    return check(watched, now), advance(watched, now)


def watch(
    task_path: Path,
    database_url: str,
    every_s: float,
    show: Callable[[Looked, str | None], None],
    complain: Callable[[str], None],
) -> None:
    """Look every `every_s` seconds, for ever. A database that is away for a while ends nothing, and
    changed settings count from the next look on."""
    while True:
        started = time.monotonic()
        try:
            database = Database(database_url)
            try:
                show(*look(open_watched(task_path, database)))
            finally:
                database.close()
        except DatabaseUnavailable as error:
            complain(str(error))
        time.sleep(max(0.0, every_s - (time.monotonic() - started)))
