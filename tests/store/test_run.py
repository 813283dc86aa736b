from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import JsonValue

from trimtab.errors import RunError
from trimtab.store import run as run_module
from trimtab.store.files import write_atomic
from trimtab.store.run import Run, changed_settings, open_run
from trimtab.types import Spent

IDENTITY = {"task file": "t1", "data": "d1", "rule": "r1"}
SETTINGS: JsonValue = {"name": "names", "goals": {"quality": 0.9, "validity": 0.99}, "seed": 0}


def start(root: Path, *, finish: bool = False, **changes: str) -> str:
    run, _ = open_run(root, IDENTITY | changes, SETTINGS)
    with run:
        if finish:
            write_atomic(run.verdict_path, "{}")
    return run.name


def test_the_first_run_is_made_whole(tmp_path: Path) -> None:
    run, why = open_run(tmp_path, IDENTITY, SETTINGS)
    with run:
        assert why == run.info.why == "no earlier run of this task"
        assert not run.finished
        saved = json.loads((run.folder / "run.json").read_text())
        assert saved["format_version"] == 1
        assert saved["identity"] == IDENTITY
        assert saved["settings"] == SETTINGS
        assert run.name.endswith(saved["identity_hash"][:8])
        latest = tmp_path / "runs" / "latest"
        assert latest.readlink() == Path(run.name)
        assert sorted(p.name for p in latest.parent.iterdir()) == sorted(["latest", run.name])


def test_the_same_decision_resumes(tmp_path: Path) -> None:
    name = start(tmp_path)
    run, why = open_run(tmp_path, dict(reversed(IDENTITY.items())), SETTINGS)
    run.close()
    assert (run.name, why) == (name, f"resuming {name}")


def test_a_finished_run_is_said_to_be(tmp_path: Path) -> None:
    name = start(tmp_path, finish=True)
    run, why = open_run(tmp_path, IDENTITY, SETTINGS)
    with run:
        assert run.finished
        assert (run.name, why) == (name, f"{name} is finished")


def test_fresh_starts_a_new_run_and_moves_latest(tmp_path: Path) -> None:
    old = start(tmp_path)
    run, why = open_run(tmp_path, IDENTITY, SETTINGS, fresh=True)
    with run:
        assert why == "a fresh run was asked for"
        assert run.name > old
        assert (tmp_path / "runs" / "latest").readlink() == Path(run.name)
    again, why = open_run(tmp_path, IDENTITY, SETTINGS)
    with again:
        assert (again.name, why) == (run.name, f"resuming {run.name}")


@pytest.mark.parametrize(
    ("identity", "settings", "reason"),
    [
        (IDENTITY | {"data": "d2"}, SETTINGS, ": data"),
        (IDENTITY | {"rule": "r2", "data": "d2"}, SETTINGS, ": data, rule"),
        (IDENTITY | {"code": "c"}, SETTINGS, ": code"),
        ({"task file": "t1", "data": "d1"}, SETTINGS, ": rule"),
        (
            IDENTITY | {"task file": "t2"},
            {"name": "names", "goals": {"quality": 0.8, "validity": 0.99}, "seed": 0},
            ": task file (goals.quality)",
        ),
        (
            IDENTITY | {"task file": "t2"},
            {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1},
            ": task file (a, b, c, d, e and 3 more)",
        ),
    ],
)
def test_another_decision_starts_a_new_run_that_says_what_changed(
    tmp_path: Path, identity: dict[str, str], settings: JsonValue, reason: str
) -> None:
    old = start(tmp_path, finish=True)
    run, why = open_run(tmp_path, identity, settings)
    with run:
        assert why == run.info.why == f"changed since {old}{reason}"
        assert run.name != old


def test_names_sort_by_age_even_within_a_second(tmp_path: Path) -> None:
    names = [start(tmp_path, data=f"d{i}") for i in range(6)]
    assert names == sorted(set(names))


def test_a_run_belongs_to_one_process(tmp_path: Path) -> None:
    run, _ = open_run(tmp_path, IDENTITY, SETTINGS)
    child = (
        "import sys; from pathlib import Path; from trimtab.store.run import open_run\n"
        f"open_run(Path(sys.argv[1]), {IDENTITY!r}, {{}})"
    )
    command = [sys.executable, "-c", child, str(tmp_path)]
    blocked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "another process is working on this run" in blocked.stderr
    run.close()
    assert subprocess.run(command, check=False).returncode == 0


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"format_version": 2, "what": "ever"}', "format version 2"),
        ("{", "damaged"),
        ("[1]", "damaged"),
        ("[" * 100_000, "damaged"),
        ("{}", "damaged"),
        (b"\xff", "damaged"),
        (None, "missing"),
    ],
)
def test_a_run_that_cannot_be_read_says_what_to_do(
    tmp_path: Path, content: str | bytes | None, problem: str
) -> None:
    path = tmp_path / "runs" / start(tmp_path) / "run.json"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RunError, match=problem) as caught:
        open_run(tmp_path, IDENTITY, SETTINGS)
    assert str(path) in str(caught.value)
    assert "--fresh" in str(caught.value)
    run, _ = open_run(tmp_path, IDENTITY, SETTINGS, fresh=True)
    run.close()


def test_other_things_in_the_folder_are_no_runs(tmp_path: Path) -> None:
    name = start(tmp_path)
    for other in ("zzz", "notes.txt", ".new-abc", "99999999T999999Z-copy"):
        (tmp_path / "runs" / other).mkdir()
    run, _ = open_run(tmp_path, IDENTITY, SETTINGS)
    run.close()
    assert run.name == name


def test_a_run_started_at_the_same_moment_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = start(tmp_path)
    before = (tmp_path / "runs" / name / "run.json").read_bytes()
    monkeypatch.setattr(run_module, "_next_stamp", lambda newest, now: name.split("-")[0])
    with pytest.raises(RunError, match="at the same moment"):
        open_run(tmp_path, IDENTITY, SETTINGS, fresh=True)
    assert (tmp_path / "runs" / name / "run.json").read_bytes() == before


def test_spending_adds_up_over_sittings_per_stage_and_arm(tmp_path: Path) -> None:
    def sitting(*spent: Spent) -> Run:
        run, _ = open_run(tmp_path, IDENTITY, SETTINGS)
        with run:
            for one in spent:
                run.spend(one)
        return run

    sitting(Spent(stage="search", arm="prompt", calls=3, tokens_in=10, seconds=1.5, money=0.25))
    sitting(Spent(stage="search", arm="fine-tune", train_tokens=7))
    run = sitting(
        Spent(stage="search", arm="prompt", calls=2, tokens_in=1, tokens_out=4, seconds=0.5)
    )
    assert run.spent() == (
        Spent(
            stage="search",
            arm="prompt",
            calls=5,
            tokens_in=11,
            tokens_out=4,
            seconds=2.0,
            money=0.25,
        ),
        Spent(stage="search", arm="fine-tune", train_tokens=7),
    )


@pytest.mark.parametrize(
    ("old", "new", "paths"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 2, "c": 2}}, ["a.b"]),
        ({"a": {"b": 1}}, {"a": None}, ["a"]),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["a"]),
        ({"a": 1, "x": None}, {"b": None, "a": 1}, ["b", "x"]),
        (None, {"a": 1}, []),
    ],
)
def test_changed_settings(old: JsonValue, new: JsonValue, paths: list[str]) -> None:
    assert changed_settings(old, new) == paths
