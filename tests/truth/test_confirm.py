"""Full runs: whom they are for, what they may see, and that they are held against the pool."""

import pytest
from benchmarks.truth import confirm, pools

from trimtab.task.load import load_task
from trimtab.task.open import open_task
from trimtab.types import Example

from .factories import TASK, team, world

BETTER = {25: 0.6, 50: 0.7, 100: 0.8, 200: 0.85, 400: 0.88}


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIMTAB_CACHE", str(tmp_path))
    examples = [
        Example(id=f"id{i}", input=f"{i * 7919} is number {i}", target=("yes", "no")[i % 2])
        for i in range(260)
    ]
    training = (tuple(examples[60:200]), tuple(examples[120:]))
    return pools.Pool(TASK, tuple(examples[:40]), tuple(examples[40:60]), training)


def test_the_rows_of_a_run_are_none_of_the_pool(pool):
    mine = team(number=4, rows=200)
    opened = open_task(confirm.prepare(pool, mine, 5))
    assert len({row.input for row in opened.examples}) == 200
    assert {row.input for row in opened.examples}.isdisjoint(row.input for row in pool.rows)
    sizes = len(opened.split.train), len(opened.split.dev), len(opened.split.test)
    assert sizes == (mine.train, mine.dev, mine.test)


def test_the_task_of_a_run_is_the_teams(pool):
    mine = team(number=4, rows=100)
    asked, written = mine.task(TASK), load_task(confirm.prepare(pool, mine, 5))
    for part in ("goals", "constraints", "traffic", "models", "labelling", "upkeep", "seed"):
        assert getattr(written, part) == getattr(asked, part)
    assert written.budget.minutes == 5


def test_teams_of_each_right_word_come_in_turn():
    made = world([0.5, 0.6], {**BETTER, 400: 0.96})
    found = confirm.teams(made, 4)
    words = [set(confirm.truth(made, each).words) for each in found]
    assert words == [{"fine-tune"}, {"prompt"}, {"collect-data"}, {"fine-tune"}]
    assert len({each.number for each in found}) == 4
    assert all(each.rows in confirm.ROWS for each in found)
