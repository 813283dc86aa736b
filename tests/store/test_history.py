"""What the runs of a task folder say together."""

import json
from datetime import date

import pytest

from trimtab.store.history import task_changes, test_uses
from trimtab.store.run import open_run
from trimtab.task.split import SealedTest
from trimtab.types import Example

test_uses.__test__ = False  # the name of a function, not of a test

ROWS = [Example(id=str(i), input=f"row {i}", target="x") for i in range(5)]


def run_of(root, *openings, settings=None):
    """A run that opened the given test rows, each with its reason."""
    run, _ = open_run(root, {"task file": "t"}, settings or {}, fresh=True)
    with run:
        for rows, reason in openings:
            SealedTest(rows).open(run.test_openings_path, reason)
    return run.folder


def test_uses_are_counted_over_all_runs_that_opened_the_same_rows(tmp_path) -> None:
    run_of(tmp_path, (ROWS, "confirm a"))
    run_of(tmp_path, (ROWS[:4], "confirm a"))
    run_of(tmp_path)
    assert test_uses(run_of(tmp_path, (ROWS, "confirm b"))) == 2
    assert test_uses(run_of(tmp_path, (ROWS[:4], "confirm b"))) == 2
    assert test_uses(run_of(tmp_path, (ROWS[:3], "confirm b"))) == 1


def test_a_run_that_goes_on_has_not_looked_again(tmp_path) -> None:
    again = run_of(tmp_path, (ROWS, "confirm a"), (ROWS, "confirm a"))
    assert test_uses(again) == 1
    assert test_uses(run_of(tmp_path, (ROWS, "confirm a"), (ROWS, "confirm a and b"))) == 3


def test_a_sealed_test_has_no_uses(tmp_path) -> None:
    run_of(tmp_path, (ROWS, "confirm a"))
    assert test_uses(run_of(tmp_path)) is None


def test_a_line_that_a_kill_cut_is_passed_over(tmp_path) -> None:
    folder = run_of(tmp_path, (ROWS, "confirm a"))
    with (folder / "test_openings.jsonl").open("a") as log:
        log.write('{"time": "2026')
    assert test_uses(folder) == 1


@pytest.mark.parametrize("key", ["instructions", "output", "metric"])
def test_changes_of_what_the_task_means_are_counted(tmp_path, key) -> None:
    for value in ("a", "a", "b", "a"):
        folder = run_of(tmp_path, settings={key: value, "goals": {"quality": len(value)}})
    (tmp_path / "runs" / folder.name / "run.json").write_text("damaged")
    changes, last = task_changes(tmp_path)
    assert changes == 1
    created = json.loads((sorted((tmp_path / "runs").glob("2*"))[2] / "run.json").read_text())
    assert last == date.fromisoformat(created["created"][:10])


def test_goals_may_change_freely(tmp_path) -> None:
    for quality in (0.8, 0.9):
        run_of(tmp_path, settings={"metric": "exact", "goals": {"quality": quality}})
    assert task_changes(tmp_path) == (0, None)
