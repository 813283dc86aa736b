"""The money of a fine-tune that has its rows still to come, against the formula by hand."""

import pytest

from trimtab.decide.ahead import money_ahead
from trimtab.decide.money import Effort
from trimtab.task.split import labels_to_train

from .factories import comparison, forecast, score, task

ASKED = {"input": 1.0, "output": 0.0, "training": 2.0}
SPENT = Effort(
    seconds=90, tokens=3_000_000, retrain_seconds=60, retrain_tokens=1_000_000, labels_used=400
)


CURVE = ((800, 0.7, 0.69, 0.71), (6_400, 0.9, 0.89, 0.91))


def told(rows, curve=CURVE):
    return forecast(rows).model_copy(update={"curve": curve})


def ahead(outlook, *, label=0.5, value=0.01, compared=None, effort=SPENT):
    """800 rows are there (the forecast's), goal 0.85, prompt at 0.60."""
    mine = task(
        models={"prompt": {"prices": ASKED}, "tune": {"prices": ASKED}},
        labelling={"cost_per_example": label},
        traffic={
            "calls_per_month": 100_000,
            "calls_spread": 0,
            "stable_since": "2026-01-01",
            "value_per_correct_answer": value,
        },
    )
    found = compared or comparison(0.05)
    prompt, tuned = score("prompt", 0.60), score("fine-tune", 0.65)
    return money_ahead(mine, prompt, tuned, found, effort, outlook)


def test_the_saving_is_that_at_the_goal_with_labels_bought_and_longer_training():
    found = ahead(told(2_000))
    a_call = (600 - 60) / 1e6 + 0.01 * (0.85 - 0.60)
    one_training = 2_000 / 400 * 1_000_000 * 2 / 1e6
    labels = labels_to_train(800, 2_000, None, None) * 0.5
    expected = 100_000 * a_call - (labels + one_training) / 12 - one_training / 6
    assert found.saving_per_month.estimate == pytest.approx(expected)
    assert found.fixed == pytest.approx(labels + one_training)


def test_what_the_fine_tune_at_hand_gained_is_no_part_of_it():
    poor, good = (ahead(told(2_000), compared=comparison(each)) for each in (-0.2, 0.2))
    assert poor == good


def test_a_wider_curve_makes_it_less_sure():
    wide = ((800, 0.7, 0.6, 0.8), (6_400, 0.9, 0.7, 1.0))
    sure, unsure = (ahead(told(2_000, each)).saving_per_month for each in (CURVE, wide))
    assert unsure.high - unsure.low > 1.2 * (sure.high - sure.low)
    assert unsure.estimate == sure.estimate


@pytest.mark.parametrize("outlook", [None, told(None), told(800), told(700), forecast(2_000)])
def test_without_rows_to_come_there_is_nothing_to_tell(outlook):
    assert ahead(outlook) is None


def test_labels_without_a_price_are_unknown_money():
    assert ahead(told(2_000), label=None) is None


def test_an_arm_that_was_not_compared_tells_nothing():
    found = money_ahead(
        task(), score("prompt", 0.6), score("fine-tune", 0.6), None, SPENT, told(2_000)
    )
    assert found is None
