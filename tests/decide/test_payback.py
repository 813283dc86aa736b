"""What the payback hangs on: each input at its ends, by hand where the formula allows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.decide.payback import (
    DRAWS,
    STATED_ERROR,
    Doubt,
    Terms,
    chance_of_paying,
    saving_draws,
    tornado,
)

TERMS = Terms(
    calls=100_000,
    prompt=0.001,
    tune=0.0005,
    labels=100.0,
    runs=20.0,
    retraining=60.0,
    every=6.0,
    hosting=5.0,
    people=15.0,
    horizon=12.0,
    value=0.01,
    difference=0.02,
)
"""120 once and 10 + 5 + 15 a month to have it, 40 a month in all; a call saves 0.0005 + 0.0002: it
pays from 57,143 calls a month."""
DOUBT = Doubt(calls=0.3, prompt_price=0.1, tune_price=0.1, one_price=False, difference=0.01)
SURE = Doubt(0.0, 0.0, 0.0, one_price=False, difference=0.0, retraining=0.0, often=0.0)


def swings(terms: Terms = TERMS, doubt: Doubt = DOUBT) -> dict:
    return {each.name: each for each in tornado(terms, doubt, seed=0)}


def test_ends_by_hand() -> None:
    found = swings()
    added = found["quality that tuning adds"]
    assert (added.low, added.high) == pytest.approx((0.02 - 0.0164485, 0.02 + 0.0164485), abs=1e-6)
    upkeep = found["people's upkeep a month"]
    assert (upkeep.low, upkeep.high) == pytest.approx((15 * 0.506544, 15 * 1.493456), rel=1e-4)
    prompt = found["1,000 calls with the prompt"]
    assert (prompt.low, prompt.high) == pytest.approx((0.8355146, 1.1644854), rel=1e-4)
    calls = found["calls a month"]
    draws = np.random.default_rng(1).lognormal(
        np.log(100_000) - np.log1p(0.09) / 2, np.log1p(0.09) ** 0.5, 200_000
    )
    assert (calls.low, calls.high) == pytest.approx(np.quantile(draws, (0.05, 0.95)), rel=0.01)


def test_break_even_at_an_end_by_hand() -> None:
    """Upkeep of 7.6: (25 + 7.6) / 0.0007; a worth of 0.0149: 40 / (0.0005 + 0.0149 x 0.02)."""
    found = swings()
    people = found["people's upkeep a month"]
    assert people.break_even_low == pytest.approx((25 + 15 * 0.506544) / 0.0007)
    worth = found["worth of a right answer"]
    assert worth.high == pytest.approx(0.01 * (1 + 1.644854 * STATED_ERROR))
    assert worth.break_even_high == pytest.approx(40 / (0.0005 + worth.high * 0.02))
    assert found["calls a month"].break_even_low == pytest.approx(TERMS.break_even)


def test_a_better_end_never_pays_less() -> None:
    found = swings()
    for name in ("quality that tuning adds", "calls a month", "1,000 calls with the prompt"):
        assert found[name].p_low < found[name].p_high
    for name in (
        "people's upkeep a month",
        "labels to buy",
        "one retraining",
        "1,000 calls with the fine-tune",
    ):
        assert found[name].p_low > found[name].p_high
    seldom = found["months between retrainings"]
    assert seldom.p_low < seldom.p_high
    assert seldom.break_even_low > seldom.break_even_high


def test_the_widest_swing_comes_first() -> None:
    widths = [abs(each.p_high - each.p_low) for each in tornado(TERMS, DOUBT, 0)]
    assert widths == sorted(widths, reverse=True)
    assert next(iter(swings())) == "calls a month"
    sure = replace(TERMS, calls=1e12)
    order = [each.name for each in tornado(sure, DOUBT, 0)]
    assert order[0] == "quality that tuning adds", "where all pay, the break-even tells"


def test_an_input_that_cannot_matter_is_left_out() -> None:
    nothing = replace(TERMS, value=0.0, labels=0.0, retraining=0.0)
    plain = swings(nothing, replace(DOUBT, calls=0.0))
    assert not {"quality that tuning adds", "worth of a right answer"} & set(plain)
    assert not {"labels to buy", "calls a month", "one retraining"} & set(plain)
    assert "months between retrainings" not in plain


def test_one_price_moves_both_arms() -> None:
    found = swings(doubt=replace(DOUBT, one_price=True))
    price = found["prices, the same for both"]
    assert (price.unit, price.low) == ("factor", pytest.approx(0.8355146))
    assert "1,000 calls with the prompt" not in found
    dear = replace(TERMS, prompt=0.001 * price.high, tune=0.0005 * price.high)
    high = price.high
    dear = replace(dear, runs=20 * high, retraining=60 * high, hosting=5 * high)
    assert price.break_even_high == pytest.approx(dear.break_even)


def test_never_is_told_as_such() -> None:
    losing = replace(TERMS, prompt=0.0005, difference=0.0)
    added = swings(losing)["quality that tuning adds"]
    assert added.break_even_low is None
    assert added.break_even_high is not None


def test_draws_have_the_means_and_spreads_that_are_asked() -> None:
    found = saving_draws(TERMS, replace(DOUBT, prompt_price=0.0, tune_price=0.0), 3)
    assert len(found) == DRAWS
    assert found.mean() == pytest.approx(100_000 * 0.0007 - 40, rel=0.02)
    alone = saving_draws(TERMS, replace(SURE, difference=0.01), 3)
    assert alone.std() == pytest.approx(100_000 * 0.01 * 0.01, rel=0.03)


def test_retraining_alone_in_doubt_by_hand() -> None:
    """10 a month, its cost and how often each give or take 30%: 10 sqrt(1.09^2 - 1) = 4.3371."""
    for doubt, sd in (
        (replace(SURE, retraining=0.3), 3.0),
        (replace(SURE, often=0.3), 3.0),
        (replace(SURE, retraining=0.3, often=0.3), 4.3371),
    ):
        found = saving_draws(TERMS, doubt, 3)
        assert found.mean() == pytest.approx(100_000 * 0.0007 - 40, abs=0.1)
        assert found.std() == pytest.approx(sd, rel=0.05)


def test_the_ends_of_retraining_are_those_of_its_draws() -> None:
    found = swings()
    often = np.random.default_rng(1).lognormal(
        np.log(1 / 6) - np.log1p(0.09) / 2, np.log1p(0.09) ** 0.5, 200_000
    )
    months = found["months between retrainings"]
    low, high = np.quantile(1 / often, (0.05, 0.95))
    assert (months.low, months.high) == pytest.approx((low, high), rel=0.01)
    assert months.break_even_low == pytest.approx((30 + 60 / months.low) / 0.0007)
    once = found["one retraining"]
    assert (once.low / 60, once.high / 60) == pytest.approx((6 / high, 6 / low), rel=0.01)
    assert once.break_even_high == pytest.approx((30 + once.high / 6) / 0.0007)


def test_an_error_in_the_models_price_moves_no_wages_and_no_labels() -> None:
    """20 / 12 + 60 / 6 + 5 = 16.667 a month are at the model's price, and so are the calls' 50."""
    doubt = replace(SURE, tune_price=0.1)
    assert saving_draws(TERMS, doubt, 3).std() == pytest.approx(0.1 * (50 + 16.667), rel=0.03)
    dear = replace(TERMS, labels=100 + 12 * 1000, people=15 + 1000)
    assert saving_draws(dear, doubt, 3).std() == pytest.approx(0.1 * (50 + 16.667), rel=0.03)
    assert chance_of_paying(replace(TERMS, people=15 + 30 - 0.01), SURE, 0) == 1.0
    assert chance_of_paying(replace(TERMS, people=15 + 30 + 0.01), SURE, 0) == 0.0


@given(
    difference=st.floats(-0.5, 0.5),
    calls=st.floats(1, 1e7),
    value=st.floats(0, 1),
    spread=st.floats(0, 0.3),
)
def test_the_two_ends_of_a_drawn_input_enclose_what_is_drawn(difference, calls, value, spread):
    """With one input in doubt, the chance over all its draws lies between those at its ends."""
    terms = replace(TERMS, difference=difference, calls=calls, value=value)
    doubt = replace(SURE, difference=spread)
    now = chance_of_paying(terms, doubt, 0)
    for each in tornado(terms, doubt, 0):
        if each.name == "quality that tuning adds":
            assert {each.p_low, each.p_high} <= {0.0, 1.0}
            if each.p_low == each.p_high:
                assert now >= 0.9 if each.p_low else now <= 0.1
