"""Versions are listed, compared, restored and pruned; what serves is never pruned."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from decisions import rows, write_rows, write_task
from trimtab import pipeline
from trimtab.errors import InputError
from trimtab.retrain.prune import plan, prune
from trimtab.retrain.versions import (
    compare_runs,
    compare_versions,
    find_run,
    list_runs,
)
from trimtab.serve.promotion import find_candidate
from trimtab.store import deployments, files
from trimtab.store.database import Database
from trimtab.store.deployments import history
from trimtab.task.load import load_task
from trimtab.watch.settings import KeepSettings

ONE = KeepSettings(runs=1, data=1)


@pytest.fixture(scope="module")
def four(tmp_path_factory) -> Path:
    """A task with four finished runs, each on more rows. Only read."""
    root = tmp_path_factory.mktemp("four")
    folder = root / "task"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        for count in (90, 100, 110, 120):
            write_task(folder)
            write_rows(folder / "rows.jsonl", rows(count))
            pipeline.decide(folder)
    return folder


@pytest.fixture
def folder(four, tmp_path) -> Path:
    return shutil.copytree(four, tmp_path / "task", symlinks=True)


@pytest.fixture
def database(folder):
    opened = Database(str(folder / "production.sqlite"))
    yield opened
    opened.close()


def promote(folder: Path, database: Database, run: str, role: str = "champion") -> None:
    found = find_candidate(str(folder / "runs" / run), folder)
    deployments.promote(database, found.task, found.deployed, role, 0.1, "a test", "to test")


def names(folder: Path) -> list[str]:
    """The oldest first."""
    return [run.name for run in reversed(list_runs(folder))]


def test_every_run_names_its_data(folder) -> None:
    found = list_runs(folder)
    assert len({run.data for run in found}) == len(found) == 4
    assert all(run.winner is not None for run in found)


def test_two_runs_are_compared(folder) -> None:
    old, *_, new = names(folder)
    lines = list(compare_runs(folder, find_run(folder, old), find_run(folder, new)))
    assert "  30 rows added, 0 removed, 0 with another target" in lines
    assert "settings: the same" in lines
    assert any(line.startswith("quality on the sealed test: ") for line in lines)
    same = list(compare_runs(folder, find_run(folder, old), find_run(folder, old)))
    assert "prompt: the same" in same


def test_two_dataset_versions_are_compared(folder) -> None:
    old, *_, new = [run.data for run in reversed(list_runs(folder))]
    first, *listed = compare_versions(folder, old, new, load_task(folder))
    assert first == "90 -> 120 rows: 30 added, 0 removed, 0 with another target"
    assert len(listed) == 30


def test_a_name_that_is_not_clear_is_refused(folder) -> None:
    with pytest.raises(InputError, match="0 finished runs"):
        find_run(folder, "nothing")
    with pytest.raises(InputError, match="4 finished runs"):
        find_run(folder, "T")


def test_an_old_run_is_restored_by_promoting_it(folder, database) -> None:
    oldest = names(folder)[0]
    promote(folder, database, names(folder)[-1])
    promote(folder, database, oldest)
    assert history(database, "names")[0].state.champion.run == oldest


def test_only_what_is_old_and_not_needed_goes(folder, database) -> None:
    first, second, third, fourth = names(folder)
    promote(folder, database, first)
    promote(folder, database, second)
    found = plan(folder, history(database, "names"), ONE)
    assert {part.parent.name for part in found.runs} == {third}
    assert set(found.kept) == {first, second, fourth}
    (data,) = found.data
    assert data.stem == find_run(folder, third).data


def test_nothing_that_serves_or_may_come_back_is_pruned(folder, database) -> None:
    """Whatever the policy says: champion, canary, shadow, a rollback's target, and the champion
    before, even where other changes lie between."""
    first, second, third, _ = names(folder)
    promote(folder, database, first)
    promote(folder, database, second)
    promote(folder, database, third, "shadow")
    deployments.retire(database, "names", "shadow", "a test", "enough")
    kept = plan(folder, history(database, "names"), ONE).kept
    assert kept[second] == "it serves"
    assert kept[third] == "a rollback would bring it back"
    assert kept[first] == "the champion before"


def test_a_pruned_run_can_still_be_named_and_what_is_kept_still_serves(folder, database) -> None:
    first, second, third, fourth = names(folder)
    promote(folder, database, first)
    promote(folder, database, second)
    found = prune(folder, database, "names", ONE)
    assert found.size > 0
    assert names(folder) == [first, second, third, fourth]
    assert not (folder / "runs" / third / "records").exists()
    assert (folder / "runs" / third / "test_openings.jsonl").exists()
    for kept in (first, second, fourth):
        assert (folder / "runs" / kept / "records").exists()
        promote(folder, database, kept)
    assert prune(folder, database, "names", KeepSettings(runs=4)).runs == ()


def test_a_run_that_is_worked_on_is_left_alone(folder, database) -> None:
    third = names(folder)[2]
    promote(folder, database, names(folder)[0])
    lock = files.lock(folder / "runs" / third / ".lock", wait=False)
    prune(folder, database, "names", ONE)
    assert (folder / "runs" / third / "records").exists()
    os.close(lock)


def test_nothing_goes_before_anything_was_promoted_but_by_age(folder, database) -> None:
    found = plan(folder, history(database, "names"), KeepSettings(runs=3, data=3))
    assert {part.parent.name for part in found.runs} == {names(folder)[0]}
