"""Whole decisions that rest on a user's own way of judging."""

from __future__ import annotations

import json

import pytest

from decisions import rows, write_rows, write_task
from trimtab import pipeline
from trimtab.errors import TaskError
from trimtab.measure.meter import JUDGING
from trimtab.measure.plan import CALIBRATION, LATENCY
from trimtab.store.files import read_records

HALF_FOR_PERSONS = """\
def judge(answer, target, input):
    if answer != target:
        return 0.0
    return 0.5 if target == "person" else 1.0
"""


def decide(folder, **changes):
    return pipeline.decide(write_task(folder, **changes))


def scores(decided):
    path = decided.folder / "records" / f"{decided.decision.prompt.variant}-test.jsonl"
    return [record.outcome.metrics for record in read_records(path)]


def test_a_decision_rests_on_a_function_of_the_users_own(tmp_path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "scorer.py").write_text(HALF_FOR_PERSONS)
    section = {"metric": "function", "scoring": {"function": "scorer.py:judge"}}
    decided = decide(folder, **section)
    decision = decided.decision
    found = scores(decided)
    assert decision.metric == "function"
    assert decision.prompt.quality == decision.prompt.metrics["function"]
    assert decision.prompt.quality.estimate == pytest.approx(
        sum(each["function"] for each in found) / 30
    )
    assert {each["function"] for each in found} <= {0.0, 0.5, 1.0}
    assert decision.prompt.quality.estimate < decision.prompt.metrics["accuracy"].estimate
    assert pipeline.decide(folder).folder == decided.folder
    (folder / "scorer.py").write_text("def judge(answer, target, input):\n    return 1\n")
    changed = pipeline.decide(folder)
    assert "scoring.function" in changed.why
    assert changed.decision.prompt.quality.estimate == 1


def test_a_function_that_judges_nothing_is_refused_before_any_call(tmp_path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    (folder / "scorer.py").write_text("def judge(answer, target, input):\n    raise KeyError(1)\n")
    with pytest.raises(TaskError, match=r"scorer\.py:2: KeyError: 1"):
        decide(folder, metric="function", scoring={"function": "scorer.py:judge"})
    assert not list((folder / "runs").glob("*/spent.jsonl"))


def test_a_missing_scorer_costs_nothing(tmp_path) -> None:
    section = {"metric": "function", "scoring": {"function": "scorer.py:judge"}}
    with pytest.raises(TaskError, match=r"scorer\.py"):
        decide(tmp_path / "task", **section)
    assert not (tmp_path / "task" / "runs").exists()


def test_a_decision_rests_on_a_table_of_costs(tmp_path) -> None:
    costs = {"table": {"company": {"person": 5}}}
    decided = decide(tmp_path / "task", metric="cost_score", scoring={"costs": costs})
    decision = decided.decision
    table = decision.prompt.label_table
    (person, company) = table.counts
    assert sum(person) + sum(company) == 30
    cost = 5 * company[0] + person[1] + 5 * (person[2] + company[2])
    assert decision.prompt.quality.estimate == pytest.approx(1 - cost / 5 / 30)
    assert decision.prompt.quality.estimate == pytest.approx(
        sum(each["cost_score"] for each in scores(decided)) / 30
    )
    assert table.macro_f1.n == 30
    page = (decided.folder / "report.html").read_text()
    assert "cost_score" in page and "Macro-F1" in page and "Taken for" in page


# --- a judge --------------------------------------------------------------------------------------


def reviews(folder, count=40):
    write_rows(
        folder / "reviews.jsonl",
        [
            {"input": row["input"], "target": row["output"], "answer": row["output"], "score": 5}
            for row in rows(count)
        ],
    )


def judged(**changes):
    """The fake engine answers a judge's question without a demonstration with `{}`: no vote."""
    spec = {"model": {"engine": "fake", "model": "judge"}, "rubric": "right?"} | changes
    return {"scoring": {"judge": spec}}


def test_a_judge_that_is_not_shown_to_agree_decides_nothing_and_costs_little(tmp_path) -> None:
    folder = tmp_path / "task"
    folder.mkdir()
    reviews(folder)
    decided = decide(folder, metric="judge", **judged(reviews="reviews.jsonl"))
    decision = decided.decision
    assert decision.verdict.word == "inconclusive"
    assert "agrees with people" in decision.verdict.headline
    assert decision.judge.lost == 40
    assert decision.variants == () and decision.test_openings == ()
    assert JUDGING in {spent.stage for spent in decision.spent}
    assert "0.00" not in decision.verdict.headline
    assert (decided.folder / "report.html").exists()


def test_a_judge_beside_another_metric_spoils_nothing(tmp_path) -> None:
    """It writes no grade; the score that decides is there all the same."""
    decision = decide(tmp_path / "task", **judged()).decision
    assert decision.verdict.word == "prompt"
    assert decision.prompt.failures == 0
    assert decision.prompt.metrics.get("judge") is None
    assert decision.judge is None and decision.preference is None
    assert {spent.stage: spent.calls for spent in decision.spent}[JUDGING] > 0


def test_a_judge_that_agrees_may_decide(tmp_path, monkeypatch) -> None:
    """A judge that compares the answer with the reference, as a good one would."""
    import trimtab.engine.fake as fake

    def says(messages, decoding):
        if not messages[0].content.startswith("You grade"):
            return plain(messages, decoding)
        data = json.loads(messages[-1].content)
        return f"So be it.\nGrade: {5 if data['answer'] == data['reference'] else 1}"

    plain = fake.nearest_demonstration
    monkeypatch.setattr(fake, "nearest_demonstration", says)
    folder = tmp_path / "task"
    folder.mkdir()
    write_rows(
        folder / "reviews.jsonl",
        [
            {
                "input": row["input"],
                "target": row["output"],
                "answer": "person",
                "score": 5 if row["output"] == "person" else 1,
            }
            for row in rows(40)
        ],
    )
    decided = decide(folder, metric="judge", **judged(reviews="reviews.jsonl"))
    decision = decided.decision
    assert decision.judge.kappa.estimate == 1
    assert decision.judge.kappa.n == 40
    assert decision.verdict.word != "inconclusive"
    assert decision.prompt.quality.estimate == decision.prompt.metrics["accuracy"].estimate
    planned = {spent.stage: spent for spent in decision.planned}
    assert planned[JUDGING].calls > 0
    assert "kappa" in (decided.folder / "report.html").read_text()
    changed = (folder / "reviews.jsonl").read_text().splitlines()[:-1]
    (folder / "reviews.jsonl").write_text("\n".join(changed) + "\n")
    assert "scoring.judge.reviews" in pipeline.decide(folder).why


def test_the_plan_counts_a_judge(tmp_path) -> None:
    """Three votes on every answer that is planned, and none on timed calls."""
    _, plain = pipeline.plan(write_task(tmp_path / "plain"))
    _, planned = pipeline.plan(write_task(tmp_path / "task", **judged()))
    assert JUDGING not in {stage.stage for stage in plain.stages}
    unjudged = {JUDGING, LATENCY, CALIBRATION}
    answers = sum(stage.calls for stage in planned.stages if stage.stage not in unjudged)
    (judging,) = [stage for stage in planned.stages if stage.stage == JUDGING]
    assert judging.calls == 3 * answers
