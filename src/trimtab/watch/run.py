"""Watches a task: once, or again and again until it is stopped."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from trimtab.errors import TrimtabError
from trimtab.store.database import Database
from trimtab.task.load import load_task
from trimtab.watch.check import Looked, Watched, check
from trimtab.watch.rollout import advance
from trimtab.watch.settings import load_settings

T = TypeVar("T")

Complain = Callable[[TrimtabError], None]


def open_watched(task_path: Path, database: Database) -> Watched:
    """The task at this path with its settings. Raises `TaskError`."""
    folder = task_path if task_path.is_dir() else task_path.parent
    return Watched(folder, load_task(task_path), load_settings(folder), database)


def look(watched: Watched, complain: Complain) -> tuple[Looked | None, str | None]:
    """One check, and what became of a staged promotion. One is done even where the other fails,
    which is complained of: a canary that does badly waits for nothing."""
    now = datetime.now(UTC)

    def tried(step: Callable[[Watched, datetime], T]) -> T | None:
        try:
            return step(watched, now)
        except TrimtabError as error:
            complain(error)
            return None

    moved = tried(advance)
    return tried(check), moved


def watch(
    task_path: Path,
    database_url: str,
    every_s: float,
    show: Callable[[Looked | None, str | None], None],
    complain: Complain,
) -> None:
    """Look every `every_s` seconds, for ever. Changed settings count from the next look on.

    What fails is complained of and tried again at the next look: a database that is away, a slip in
    a settings file, a full disk. Raises `TaskError` where the task or its settings cannot be read
    at the start, when someone is there to mend it.
    """
    folder = task_path if task_path.is_dir() else task_path.parent
    load_task(task_path)
    load_settings(folder)
    while True:
        started = time.monotonic()
        try:
            database = Database(database_url)
            try:
                show(*look(open_watched(task_path, database), complain))
            finally:
                database.close()
        except TrimtabError as error:
            complain(error)
        time.sleep(max(0.0, every_s - (time.monotonic() - started)))
