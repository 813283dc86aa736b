"""What the newest change of a task did to the score: the old winner answers under the new task."""

from __future__ import annotations

import pytest

from decisions import write_task
from trimtab import pipeline
from trimtab.store.run import read_info

CHANGED = {"instructions": "Decide whether this is a person or a company. Answer with the label."}


def gate(decided):
    return next(g for g in decided.decision.verdict.gates if g.name == "task-stable")


@pytest.fixture
def first(tmp_path):
    return pipeline.decide(write_task(tmp_path / "task"))


def test_the_old_winner_is_asked_under_the_new_task(first, tmp_path) -> None:
    winner = first.decision.winner
    second = pipeline.decide(write_task(tmp_path / "task", **CHANGED))
    told = gate(second).evidence
    assert gate(second).status == "fail"
    assert "the newest change (instructions) moved the score by +0.000" in told
    assert f"the winner of {first.folder.name}, {winner.name}, scored" in told
    assert (second.folder / "records" / f"{winner.id}-dev.jsonl").exists()
    assert any(spent.stage == "newest change" for spent in second.decision.spent)


def test_a_changed_contract_moves_the_score(first, tmp_path) -> None:
    """The old winner's right answers keep the new contract no more: labels have other names."""
    names = {"person": "human", "company": "firm"}
    folder = tmp_path / "task"
    rows = folder / "rows.jsonl"
    text = rows.read_text("utf-8")
    for old, new in names.items():
        text = text.replace(f'"{old}"', f'"{new}"')
    rows.write_text(text, "utf-8")
    output = {"kind": "label", "labels": list(names.values())}
    second = pipeline.decide(write_task(folder, output=output))
    assert "moved the score by -" in gate(second).evidence


def test_where_nothing_changed_nothing_is_asked(first, tmp_path) -> None:
    again = pipeline.decide(write_task(tmp_path / "task", goals={"quality": 0.8}))
    assert again.folder != first.folder
    assert not any(spent.stage == "newest change" for spent in again.decision.spent)
    assert "moved the score" not in gate(again).evidence


def test_the_change_is_found_behind_later_runs_of_the_same_task(first, tmp_path) -> None:
    pipeline.decide(write_task(tmp_path / "task", **CHANGED))
    third = pipeline.decide(write_task(tmp_path / "task", **CHANGED), fresh=True)
    assert f"the winner of {first.folder.name}" in gate(third).evidence


def test_an_unfinished_or_damaged_run_is_passed_over(first, tmp_path) -> None:
    (first.folder / "verdict.json").unlink()
    assert read_info(first.folder)
    second = pipeline.decide(write_task(tmp_path / "task", **CHANGED))
    assert "what the newest change did to the score was not measured" in gate(second).evidence


def test_a_winner_of_another_model_cannot_be_asked(first, tmp_path) -> None:
    other = {"prompt": {"engine": "fake", "model": "other"}, "tune": None}
    second = pipeline.decide(write_task(tmp_path / "task", models=other, **CHANGED))
    assert "was not measured" in gate(second).evidence
