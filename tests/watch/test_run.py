"""The watch goes on whatever fails, and what fails holds up nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from decisions import write_task
from trimtab.errors import DatabaseUnavailable, DiskFull, TaskError, TrimtabError
from trimtab.store import deployments
from trimtab.store.database import Database
from trimtab.store.deployments import Deployed, current
from trimtab.store.traces import add_traces
from trimtab.watch import run
from trimtab.watch.run import look, open_watched, watch

from .traffic import trace


class Enough(Exception):
    """Ends the watch of a test."""


@pytest.fixture
def folder(tmp_path):
    return write_task(tmp_path / "task")


def watching(folder, url, monkeypatch, *between) -> tuple[list[str], list[bool]]:
    """Look once before each step of `between` and once after all: what was complained of, and
    whether each look that was shown had a check."""
    steps = iter(between)
    complaints: list[str] = []
    shown: list[bool] = []

    def sleep(seconds: float) -> None:
        try:
            next(steps)()
        except StopIteration:
            raise Enough from None

    monkeypatch.setattr(run.time, "sleep", sleep)
    with pytest.raises(Enough):
        watch(
            folder,
            url,
            60.0,
            lambda looked, moved: shown.append(looked is not None),
            lambda error: complaints.append(str(error)),
        )
    return complaints, shown


def serve(url: str) -> None:
    database = Database(url)
    champion = Deployed(run="r", variant="v", name="a variant")
    deployments.promote(database, "names", champion, "champion", 0, "a test", "to test")
    database.close()


def test_what_fails_is_told_and_tried_again(folder, tmp_path, monkeypatch) -> None:
    url = str(tmp_path / "production.sqlite")
    settings = folder / "watch.yaml"
    complaints, shown = watching(
        folder,
        url,
        monkeypatch,
        lambda: serve(url),
        lambda: settings.write_text("traffic: {windowdays: 3}\n", "utf-8"),
        lambda: settings.write_text("traffic: {window_days: 3}\n", "utf-8"),
        lambda: monkeypatch.setattr(run, "Database", _gone),
        lambda: monkeypatch.setattr(run, "Database", Database),
    )
    assert len(complaints) == 3
    assert "promote a run first" in complaints[0]
    assert "watch.yaml" in complaints[1]
    assert "gone" in complaints[2]
    assert shown == [False, True, True, True]


def test_what_cannot_be_read_at_the_start_ends_it(folder, tmp_path, monkeypatch) -> None:
    (folder / "watch.yaml").write_text("traffic: {windowdays: 3}\n", "utf-8")
    with pytest.raises(TaskError, match="windowdays"):
        watch(folder, str(tmp_path / "production.sqlite"), 60.0, print, print)


def test_a_check_that_fails_leaves_no_bad_canary(folder, tmp_path, monkeypatch) -> None:
    database = Database(str(tmp_path / "production.sqlite"))
    champion = Deployed(run="r", variant="v", name="old")
    canary = Deployed(run="s", variant="w", name="new")
    deployments.promote(database, "names", champion, "champion", 0, "a test", "to test")
    deployments.promote(database, "names", canary, "canary", 0.1, "a test", "to test")
    now = datetime.now(UTC)
    bad = {"role": "canary", "variant": "w", "run": "s", "valid": False}
    add_traces(database, [trace(now) for _ in range(80)] + [trace(now, **bad) for _ in range(80)])

    def full(*given: object) -> None:
        raise DiskFull("no room")

    monkeypatch.setattr(run, "check", full)
    failed: list[TrimtabError] = []
    looked, moved = look(open_watched(folder, database), failed.append)
    assert looked is None
    assert [str(error) for error in failed] == ["no room"]
    assert "taken back" in moved
    assert current(database, "names").state.canary is None
    database.close()


def _gone(url: str) -> Database:
    raise DatabaseUnavailable("the database is gone")
