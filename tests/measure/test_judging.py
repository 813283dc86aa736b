"""A judge's calls: in batches, cached, booked as a stage of their own, within the budget."""

from __future__ import annotations

import pytest

from score.judges import judge
from trimtab.engine.fake import FakeEngine
from trimtab.errors import BudgetSpent
from trimtab.measure.judging import MeteredAccount, Tally, make_judge, use_per_answer
from trimtab.measure.meter import JUDGING, Meter, Silent
from trimtab.score.base import SingleRows
from trimtab.score.judge import JudgeScorer
from trimtab.score.label import from_contract
from trimtab.task.spec import Budget, JudgeSpec, ModelSpec
from trimtab.types import Completion, Scored, Spent

from .factories import LABELS, PRICES, bench, close, examples, task, variant

ROWS = examples(40)
PRICED = ModelSpec(engine="fake", model="judge", prices=PRICES)


def judged_bench(root, *, budget=None, answer=lambda *_: "person", says=lambda *_: "Grade: 5"):
    settings = {"budget": budget} if budget else {}
    sitting = bench(root, FakeEngine(answer), **settings)
    asked = judge(root, says, account=MeteredAccount(sitting.meter, PRICED))
    scorer = JudgeScorer(SingleRows(from_contract(LABELS)), asked, decides=True)
    return sitting, asked, type(sitting)(**(vars(sitting) | {"scorer": scorer}))


def stages(sitting) -> dict[tuple, Spent]:
    return {spent.key: spent for spent in sitting.run.spent()}


def test_answers_are_judged_in_batches_and_booked_apart(tmp_path) -> None:
    sitting, asked, judged = judged_bench(tmp_path)
    sizes: list[int] = []
    whole = asked.engine.generate
    asked.engine.generate = lambda requests: (sizes.append(len(requests)), whole(requests))[1]
    with sitting.meter.stage("search", "prompt"):
        records = judged.records(variant(), "dev", ROWS)
    assert all(record.outcome.metrics["judge"] == 1 for record in records)
    assert sizes == [16] * 7 + [8]  # three votes on chunks of 16, 16 and 8 answers
    spent = stages(sitting)
    assert spent["search", "prompt"].calls == 40
    assert spent[JUDGING, "prompt"].calls == 120
    assert spent[JUDGING, "prompt"].money > 0
    close(sitting)


def test_a_second_sitting_judges_nothing_again(tmp_path) -> None:
    sitting, _, judged = judged_bench(tmp_path)
    first = judged.records(variant(), "dev", ROWS)
    close(sitting)
    sitting, asked, judged = judged_bench(tmp_path)
    assert judged.records(variant(), "dev", ROWS) == first
    assert asked.engine.calls == 0
    close(sitting)


def test_the_budget_of_calls_holds_for_a_judge_too(tmp_path) -> None:
    sitting, _, judged = judged_bench(tmp_path, budget=Budget(minutes=600, calls=50))
    with pytest.raises(BudgetSpent):
        judged.records(variant(), "dev", ROWS)
    assert sum(spent.calls for spent in sitting.run.spent()) == 50
    close(sitting)


def test_what_was_judged_before_the_budget_ended_is_kept(tmp_path) -> None:
    sitting, _, judged = judged_bench(tmp_path, budget=Budget(minutes=600, calls=16 + 48 + 20))
    with pytest.raises(BudgetSpent):
        judged.records(variant(), "dev", ROWS)
    close(sitting)
    sitting, _, judged = judged_bench(tmp_path)
    records = judged.records(variant(), "dev", ROWS)
    assert len(records) == 40
    assert all(isinstance(record.outcome, Scored) for record in records)
    spent = stages(sitting)
    assert sum(s.calls for key, s in spent.items() if key[0] == JUDGING) == 120
    close(sitting)


def test_a_judges_time_counts_to_the_share_of_the_arm(tmp_path, monkeypatch) -> None:
    sitting, _, _ = judged_bench(tmp_path)
    clock = {"now": 0.0}
    monkeypatch.setattr("trimtab.measure.meter.time.monotonic", lambda: clock["now"])
    with sitting.meter.stage("search", "prompt", 10):
        clock["now"] += 6
        sitting.meter.book(stage=JUDGING, calls=1)
        sitting.meter.check()
    meter = Meter(sitting.run, Budget(), Silent())
    with pytest.raises(BudgetSpent, match="its share"), meter.stage("search", "prompt", 10):
        clock["now"] += 6
        meter.book(calls=1)
        meter.check()
    close(sitting)


def test_what_one_answer_takes_is_measured(tmp_path) -> None:
    sitting, asked, _ = judged_bench(tmp_path)
    with sitting.meter.stage("calibration"):
        one = use_per_answer(asked, ROWS, sitting.run)
        again = use_per_answer(asked, ROWS, sitting.run)
    assert one.calls == 3
    assert one.tokens_in > 0 and one.tokens_out > 0 and one.money > 0
    assert (again.calls, again.money) == (0, 0)
    close(sitting)


def test_a_judge_that_is_the_prompted_model_is_loaded_once(tmp_path) -> None:
    sitting, _, _ = judged_bench(tmp_path)
    same, other = ModelSpec(engine="fake", model="m"), ModelSpec(engine="fake", model="other")
    for spec, shared in ((same, True), (other, False)):
        asked = task(
            models={"prompt": same, "tune": None},
            scoring={"judge": JudgeSpec(model=spec, rubric="right?")},
        )
        made = make_judge(asked, sitting.engine, sitting.cache, sitting.meter, print)
        assert (made.engine is sitting.engine) == shared
    assert make_judge(task(), sitting.engine, sitting.cache, sitting.meter, print) is None
    close(sitting)


def test_a_tally_adds_up() -> None:
    tally = Tally(PRICED)
    for _ in range(2):
        tally.book(Completion(text="", finish="stop", tokens_in=10, tokens_out=1, attempts=2))
    assert (tally.spent.calls, tally.spent.tokens_in) == (4, 20)
    assert tally.spent.money == pytest.approx(2 * (10 * 1 + 1 * 10) / 1e6)
