"""What the runs of a task folder say together."""

import json
import os
import subprocess
from datetime import UTC, date, datetime, timedelta

import pytest

from trimtab.score.registry import scoring_files
from trimtab.store.history import Change, TaskHistory, task_history, test_uses
from trimtab.store.run import open_run
from trimtab.store.watching import CHECK_FILE, Check, Traffic
from trimtab.task.load import load_task
from trimtab.task.split import SealedTest
from trimtab.types import Example, Interval

test_uses.__test__ = False  # the name of a function, not of a test

ROWS = [Example(id=str(i), input=f"row {i}", target="x") for i in range(5)]


def run_of(root, *openings, settings=None, **identity):
    """A run that opened the given test rows, each with its reason."""
    run, _ = open_run(root, {"task file": "t", **identity}, settings or {}, fresh=True)
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


def settings_of(**changes):
    return {
        "instructions": "Split it.",
        "metric": "exact",
        "output": {"kind": "json", "schema": {"properties": {"zip": {}}, "type": "object"}},
        "goals": {"quality": 0.9},
        **changes,
    }


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"instructions": "Split it up."}, "instructions"),
        ({"metric": "field_f1"}, "metric"),
        ({"scoring": {"tolerance": 0.1}}, "scoring"),
        ({"output": {"kind": "text"}}, "output.kind"),
        (
            {"output": {"kind": "json", "schema": {"properties": {"zip": {"type": "string"}}}}},
            "output.schema.zip",
        ),
        (
            {"output": {"kind": "json", "schema": {"properties": {"zip": {}, "city": {}}}}},
            "output.schema.city",
        ),
    ],
)
def test_changes_of_what_the_task_means_are_named(tmp_path, change, part) -> None:
    for changes in ({}, {}, change, {}):
        folder = run_of(tmp_path, settings=settings_of(**changes))
    (tmp_path / "runs" / folder.name / "run.json").write_text("damaged")
    history = task_history(tmp_path)
    (only,) = history.changes
    assert part in only.parts
    runs = sorted((tmp_path / "runs").glob("2*"))
    created = [json.loads((run / "run.json").read_text())["created"][:10] for run in runs[:3]]
    assert history.since == date.fromisoformat(created[0])
    assert only.day == date.fromisoformat(created[2])


def test_goals_and_the_layout_of_instructions_may_change_freely(tmp_path) -> None:
    run_of(tmp_path, settings=settings_of())
    run_of(tmp_path, settings=settings_of(goals={"quality": 0.8}, instructions="Split\n  it."))
    assert task_history(tmp_path).changes == ()


def test_nothing_is_known_of_a_new_task(tmp_path) -> None:
    assert task_history(tmp_path) == TaskHistory()


TASK = """\
name: names
instructions: {instructions}
data: {{path: rows.jsonl}}
output: {{kind: label, labels: [{labels}]}}
metric: accuracy
goals: {{quality: 0.9}}
"""


def commit(root, day, text, **files) -> None:
    (root / "task.yaml").write_text(text)
    for name, content in files.items():
        (root / name.replace("_", ".")).write_text(content)
    who = {"NAME": "test", "EMAIL": "test@example.org", "DATE": f"{day}T12:00:00+00:00"}
    identity = {
        f"GIT_{role}_{key}": v for role in ("AUTHOR", "COMMITTER") for key, v in who.items()
    }
    for arguments in (["add", "."], ["commit", "--quiet", "--allow-empty", "-m", day]):
        subprocess.run(["git", "-C", str(root), *arguments], check=True, env=os.environ | identity)


@pytest.fixture
def repository(tmp_path):
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    root = tmp_path / "tasks" / "names"
    root.mkdir(parents=True)
    return root


def test_commits_reach_further_back_than_runs(repository) -> None:
    commit(repository, "2026-01-10", TASK.format(instructions="Say which.", labels="a, b"))
    commit(repository, "2026-02-10", TASK.format(instructions="Say  which.", labels="a, b"))
    commit(repository, "2026-03-10", "name: [broken")
    commit(repository, "2026-04-10", TASK.format(instructions="Say which.", labels="a, b, c"))
    history = task_history(repository)
    assert history.since == date(2026, 1, 10)
    assert history.changes == (Change(date(2026, 4, 10), ("output.labels.c",)),)


def test_a_run_of_the_committed_task_is_no_change(repository) -> None:
    """Settings in a run are resolved; those in a commit are as they were written."""
    text = TASK.format(instructions="Say which.", labels="a, b")
    commit(repository, "2026-01-10", text)
    run_of(repository, settings=load_task(repository).model_dump(mode="json", by_alias=True))
    assert task_history(repository).changes == ()
    edited = text.replace("Say which.", "Say which one.")
    (repository / "task.yaml").write_text(edited)
    run_of(repository, settings=load_task(repository).model_dump(mode="json", by_alias=True))
    assert [change.parts for change in task_history(repository).changes] == [("instructions",)]


OWN = """\
name: names
instructions: Say which.
data: {path: rows.jsonl}
output: {kind: label, labels: [a, b]}
metric: function
scoring: {function: "scorer.py:judge"}
search: {prompts: [mine.txt]}
goals: {quality: 0.9}
"""


def test_the_tasks_own_files_are_followed_in_git(repository) -> None:
    commit(repository, "2026-01-10", OWN, scorer_py="one", mine_txt="{{ input }}")
    commit(repository, "2026-02-10", OWN, mine_txt="Say it: {{ input }}")
    commit(repository, "2026-03-10", OWN, scorer_py="two")
    assert task_history(repository).changes == (
        Change(date(2026, 2, 10), ("search.prompts",)),
        Change(date(2026, 3, 10), ("scoring.function",)),
    )


def test_a_run_has_the_same_files_as_the_commit_that_it_ran_on(repository) -> None:
    commit(repository, "2026-01-10", OWN, scorer_py="one", mine_txt="{{ input }}")
    task = load_task(repository)
    settings = task.model_dump(mode="json", by_alias=True)
    run_of(repository, settings=settings, **scoring_files(task, repository), **PROMPTS)
    assert task_history(repository).changes == ()
    (repository / "scorer.py").write_text("two")
    run_of(repository, settings=settings, **scoring_files(task, repository), **PROMPTS)
    assert [c.parts for c in task_history(repository).changes] == [("scoring.function",)]


PROMPTS = {"own prompts": "hash of what was read"}


def test_without_git_the_files_of_runs_are_followed(tmp_path) -> None:
    for prompts, reviews in (("p", "r"), ("p", "r"), ("q", "r"), ("q", "s")):
        files = {"own prompts": prompts, "scoring.judge.reviews": reviews}
        run_of(tmp_path, settings=settings_of(), **files)
    assert [change.parts for change in task_history(tmp_path).changes] == [
        ("search.prompts",),
        ("scoring.judge.reviews",),
    ]


def test_a_file_that_was_not_named_before_is_no_change_of_it(tmp_path) -> None:
    run_of(tmp_path, settings=settings_of())
    run_of(tmp_path, settings=settings_of(), **{"own prompts": "p"})
    run_of(tmp_path, settings=settings_of())
    run_of(tmp_path, settings=settings_of(), **{"own prompts": "q"})
    assert [change.parts for change in task_history(tmp_path).changes] == [("search.prompts",)]


def test_the_traffic_of_the_newest_check_is_read(tmp_path) -> None:
    assert task_history(tmp_path).served is None
    seen = datetime(2026, 5, 1, tzinfo=UTC)
    p95 = Interval(estimate=1.0, low=0.9, high=1.1, n=168, method="test")
    week = Traffic(
        since=seen - timedelta(days=7), until=seen, calls=7000, variant="v", timed=7, p95_s=p95
    )
    found = Check(
        task="names", time=seen, deployment=1, since=seen, calls=1, readings=(), traffic=week
    )
    (tmp_path / CHECK_FILE).write_text(found.model_dump_json())
    assert task_history(tmp_path).served == week
    assert week.calls_per_month == pytest.approx(30_440)
    (tmp_path / CHECK_FILE).write_text("{")
    assert task_history(tmp_path).served is None
