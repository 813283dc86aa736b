"""How the finalists meet the sealed test: block by block, until they are told apart."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from types import SimpleNamespace

import pytest

from trimtab import confirmation
from trimtab.errors import BudgetSpent
from trimtab.types import Completion, Example, Prompt, Record, Scored, Variant


def variant(arm):
    return Variant(name=arm, arm=arm, model="m", prompt=Prompt(system=arm), max_tokens=8)


class Bench:
    """Scores a row by its number; raises as a spent budget does after `calls` rows."""

    def __init__(self, score, calls=10**9):
        self.score, self.calls, self.asked = score, calls, 0

    def records(self, variant, split, rows):
        assert split == "test"
        if self.asked + len(rows) > self.calls:
            raise BudgetSpent("calls")
        self.asked += len(rows)
        done = Completion(text="x", finish="stop", tokens_in=1, tokens_out=1)
        return [
            Record(
                variant=variant.id,
                example=row.id,
                completion=done,
                outcome=Scored(metrics={"m": self.score(int(row.id[1:]))}, valid=True),
            )
            for row in rows
        ]


def answer_test(prompt, tune, *, rows=300, arms=("prompt", "fine-tune")):
    goals = SimpleNamespace(quality=0.9, smallest_difference=0.05)
    task = SimpleNamespace(metric="m", goals=goals, seed=0)
    session = SimpleNamespace(
        opened=SimpleNamespace(task=task, clusters={}),
        meter=SimpleNamespace(stage=lambda *_: nullcontext()),
        benches={"prompt": prompt, "fine-tune": tune},
    )
    test = [Example(id=f"e{i}", input=str(i), target="t") for i in range(rows)]
    confirmed = []
    with suppress(BudgetSpent):
        confirmation._answer_test(session, [variant(arm) for arm in arms], test, confirmed)
    return confirmed, confirmation.compare_finalists(session, confirmed)


def right(share):
    return lambda i: float(i * 37 % 100 < 100 * share)


def test_a_clear_gain_saves_rows_of_both():
    prompt, tune = Bench(right(0.2)), Bench(right(0.95))
    confirmed, comparison = answer_test(prompt, tune)
    assert prompt.asked == tune.asked == 100
    assert [len(each.records) for each in confirmed] == [100, 100]
    assert comparison.n == 100
    assert comparison.sequential.rows_saved == 200
    assert comparison.difference == comparison.sequential.interval
    assert comparison.difference.low > 0
    assert comparison.fixed_rows.low > comparison.difference.low


def test_without_a_clear_answer_all_rows_decide_as_ever():
    prompt, tune = Bench(right(0.5)), Bench(right(0.52))
    _, comparison = answer_test(prompt, tune)
    assert prompt.asked == tune.asked == 300
    assert comparison.sequential.rows_saved == 0
    assert comparison.fixed_rows is None
    assert comparison.difference.method == "Tango score"


def test_a_small_test_is_asked_in_one_go():
    prompt, tune = Bench(right(0.2)), Bench(right(0.95))
    _, comparison = answer_test(prompt, tune, rows=150)
    assert prompt.asked == 150
    looked = comparison.sequential
    assert (looked.rows_used, looked.rows_saved) == (150, 0)
    assert looked.clear_after < 150, "it is told, and ended nothing"
    assert comparison.difference.method == "Tango score"


def test_one_finalist_answers_every_row():
    prompt = Bench(right(0.2))
    confirmed, comparison = answer_test(prompt, Bench(right(1)), arms=("prompt",))
    assert prompt.asked == 300
    assert len(confirmed) == 1 and confirmed[0].looked is None
    assert comparison is None


@pytest.mark.parametrize(("calls", "kept"), [(0, []), (120, [100, 100]), (170, [150, 150])])
def test_a_budget_that_ends_on_the_way_leaves_what_was_answered(calls, kept):
    prompt, tune = Bench(right(0.5), calls), Bench(right(0.52), calls)
    confirmed, comparison = answer_test(prompt, tune)
    assert [len(each.records) for each in confirmed] == kept
    if kept:
        assert comparison.n == kept[0]
        assert comparison.sequential is None, "it did not end because of what was seen"


def test_rows_that_one_finalist_did_not_answer_are_no_cases() -> None:
    """The budget ends in the fine-tune's half of the second block."""
    confirmed, comparison = answer_test(Bench(right(0.5)), Bench(right(0.52), 120))
    assert [len(each.records) for each in confirmed] == [150, 100]
    assert comparison.n == 100
    rows = [Example(id=f"e{i}", input=str(i), target="t") for i in range(300)]
    opened = SimpleNamespace(task=SimpleNamespace(metric="m"), examples=rows)
    found = confirmation.cases(SimpleNamespace(opened=opened), confirmed)
    assert found
    assert all(int(case.example[1:]) < 100 for case in found)
