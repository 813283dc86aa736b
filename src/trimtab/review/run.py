"""Starts the review pages, and ends them with every request answered."""

from __future__ import annotations

import asyncio
from pathlib import Path

import uvloop

from trimtab.errors import InputError
from trimtab.review.app import ReviewServer
from trimtab.review.fill import Filler
from trimtab.review.settings import load_settings
from trimtab.serve.listen import listen
from trimtab.serve.log import log_to_stderr
from trimtab.serve.settings import load_settings as load_serve_settings
from trimtab.store.database import Database
from trimtab.store.reviewers import list_reviewers
from trimtab.task.open import open_task

_ANY = ("0.0.0.0", "::", "")  # noqa: S104 - recognised, not listened on
_DRAIN_S = 10


def review(task_path: Path, host: str, port: int, database_url: str) -> None:
    """Show the task's pages until SIGTERM or Ctrl-C.

    Raises:
        InputError: nobody may review yet, or the pages' name is not known; or as the task file,
            its data and the database have it.
    """
    opened = open_task(task_path)
    settings = load_settings(opened.folder)
    if host in _ANY and settings.public_url is None:
        raise InputError(
            f"under which name the pages are reached is unknown with --host {host}: set public_url "
            "in review.yaml, or listen on one address"
        )
    _check_reviewers(database_url, opened.task.name)
    log_to_stderr("trimtab.review")
    filler = Filler(opened, settings, load_serve_settings(opened.folder))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        server = ReviewServer(opened.task, opened.folder, settings, database_url, host, filler)
        runner.run(listen(server.app(), host, port, _DRAIN_S))


def _check_reviewers(database_url: str, task: str) -> None:
    database = Database(database_url)
    try:
        if all(reviewer.revoked is not None for reviewer in list_reviewers(database, task)):
            raise InputError(
                f"task {task} has no reviewer: make one with `trimtab reviewer add`, which prints "
                "the password"
            )
    finally:
        database.close()
