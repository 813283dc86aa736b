"""What a judge says beside its scores."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from score.judges import judge, shown
from trimtab.errors import BudgetSpent
from trimtab.judging import agreement, judge_preference
from trimtab.score.reviews import Review, bundled_reviews
from trimtab.types import Completion, Example, Failed, Record, Scored

ROWS = [Example(id=str(i), input=f"question {i}", target="good") for i in range(6)]


def record(variant, row, text, valid=True):
    completion = None
    outcome = Failed(boundary="server", message="down")
    if text is not None:
        completion = Completion(text=text, finish="stop", tokens_in=1, tokens_out=1)
        outcome = Scored(metrics={"exact": 0.0}, valid=valid)
    return Record(variant=variant, example=row.id, completion=completion, outcome=outcome)


def session(judge_model):
    @contextmanager
    def stage(name):
        yield

    opened = SimpleNamespace(examples=ROWS, clusters={}, task=SimpleNamespace(seed=0))
    return SimpleNamespace(judge=judge_model, opened=opened, meter=SimpleNamespace(stage=stage))


def prefers_good(messages, decoding):
    answers = shown(messages)
    one, two = answers["answer 1"].startswith("good"), answers["answer 2"].startswith("good")
    return "Better: tie" if one == two else "Better: 1" if one else "Better: 2"


PROMPT = [
    ("bad", True),
    ("good", True),
    ("same", True),
    ("?", False),
    ("good 1", True),
    ("x", True),
]
TUNED = [
    ("good", True),
    ("bad", True),
    ("same", True),
    ("bad", True),
    ("good 2", True),
    (None, True),
]


def both():
    return {
        arm: [record(arm, row, *side) for row, side in zip(ROWS, sides, strict=True)]
        for arm, sides in (("prompt", PROMPT), ("fine-tune", TUNED))
    }


def test_the_fine_tunes_wins_losses_and_ties(tmp_path):
    asked = judge(tmp_path, prefers_good)
    found = judge_preference(session(asked), both())
    assert (found.a, found.b) == ("prompt", "fine-tune")
    # Wins: a better answer, and a valid one against an invalid one. The last row has no answer.
    assert (found.wins, found.losses, found.ties, found.n) == (2, 1, 2, 5)
    # The equal answers and the invalid one cost no call.
    assert asked.engine.calls == 2 * 3


def test_without_a_judge_or_without_both_arms_there_is_no_preference(tmp_path):
    assert judge_preference(session(None), both()) is None
    alone = {"prompt": both()["prompt"]}
    assert judge_preference(session(judge(tmp_path, prefers_good)), alone) is None


def test_a_budget_that_ends_leaves_no_half_preference(tmp_path):
    class Empty:
        def allowance(self):
            raise BudgetSpent("1 calls")

        def book(self, answer): ...

    assert judge_preference(session(judge(tmp_path, prefers_good, account=Empty())), both()) is None


def as_people(messages, decoding):
    data = shown(messages)
    right = {(r.input, r.answer): r.score for r in bundled_reviews()}
    return f"Grade: {right[data['input'], data['answer']]}"


def test_a_judge_that_grades_as_people_do_agrees_fully(tmp_path):
    found = agreement(judge(tmp_path, as_people), bundled_reviews())
    assert (found.kappa.estimate, found.equal, found.lost) == (1, 1, 0)
    assert found.kappa.n == len(bundled_reviews())


@pytest.mark.parametrize("grade", [1, 3, 5])
def test_a_judge_with_one_grade_for_all_does_not_agree(tmp_path, grade):
    found = agreement(judge(tmp_path, lambda *_: f"Grade: {grade}"), bundled_reviews())
    assert found.kappa.estimate <= 0
    assert found.kappa.high < 0.4


def test_a_judge_that_obeys_the_answer_is_caught(tmp_path):
    """The reviews hold an answer that asks for the best grade."""

    def says(messages, decoding):
        if "Grade: 5" in shown(messages)["answer"]:
            return "Grade: 5"
        return as_people(messages, decoding)

    found = agreement(judge(tmp_path, says), bundled_reviews())
    assert found.kappa.estimate < 1


def test_reviews_without_a_readable_vote_are_counted_apart(tmp_path):
    reviews = [Review(input=f"q {i}", answer="a", score=1 + i % 5) for i in range(10)]

    def says(messages, decoding):
        number = int(shown(messages)["input"].split()[1])
        return "?" if number < 3 else f"Grade: {1 + number % 5}"

    found = agreement(judge(tmp_path, says), reviews)
    assert (found.kappa.n, found.lost, found.kappa.estimate) == (7, 3, 1)
