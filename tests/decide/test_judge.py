"""No verdict rests on a judge that was not shown to agree with people."""

import pytest

from trimtab.decide.judge import JUDGE, agreement_status, may_judge
from trimtab.decide.rule import decide
from trimtab.decide.thresholds import THRESHOLDS
from trimtab.types import Interval, JudgeAgreement

from .factories import evidence, score, task

MODEL = {"engine": "fake", "model": "judge"}
JUDGED = task(
    metric="judge",
    scoring={"judge": {"model": MODEL, "rubric": "right?", "reviews": "r.jsonl"}},
)


def agreement(estimate, low, high, n=50):
    kappa = Interval(estimate=estimate, low=low, high=high, n=n, method="test")
    return JudgeAgreement(model="fake:judge", kappa=kappa, equal=0.5, lost=1)


CASES = {
    "not measured": (None, "unknown"),
    "agrees": (agreement(0.7, 0.4, 0.8), "pass"),
    "may be poor": (agreement(0.5, 0.39, 0.8), "unknown"),
    "poor": (agreement(0.1, -0.1, 0.39), "fail"),
    "undefined": (agreement(None, None, None), "unknown"),
    "too few": (agreement(0.9, 0.8, 1.0, n=THRESHOLDS.judge_reviews - 1), "unknown"),
}


@pytest.mark.parametrize(("found", "status"), CASES.values(), ids=CASES)
def test_the_gate_and_the_verdict_follow_the_lower_bound(found, status):
    assert agreement_status(found) == status
    assert may_judge(JUDGED, found) == (status == "pass")
    verdict = decide(evidence(task=JUDGED, judge=found))
    (gate,) = [gate for gate in verdict.gates if gate.name == JUDGE]
    assert (gate.status, gate.blocks) == (status, True)
    assert bool(gate.settle) == (status == "unknown")
    if status == "pass":
        assert verdict.word == "fine-tune"
    else:
        assert verdict.word == "inconclusive"
        assert "agrees with people" in verdict.headline


def test_also_a_prompt_that_meets_every_goal_does_not_rest_on_it():
    verdict = decide(evidence(task=JUDGED, prompt=score("prompt", 0.95), judge=None))
    assert verdict.word == "inconclusive"


def test_a_run_that_measured_nothing_for_it_says_why():
    found = agreement(0.1, -0.1, 0.3)
    verdict = decide(
        evidence(task=JUDGED, judge=found, prompt=None, fine_tune=None, comparison=None, money=None)
    )
    assert verdict.word == "inconclusive"
    assert "0.10 (95%: -0.10 to 0.30)" in verdict.headline
    assert "another judge model or rubric" in verdict.headline


def test_other_metrics_ask_no_judge():
    assert may_judge(task(), None)
    verdict = decide(evidence(judge=agreement(0.1, 0, 0.2)))
    assert JUDGE not in {gate.name for gate in verdict.gates}
    assert verdict.word == "fine-tune"
