"""Stakes keep to their chance of a false alarm, and see what changed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.watch.bets import (
    HALF_YEAR_DAYS,
    START_DAYS,
    confidence_sequence,
    drop_bets,
    enough,
    halving_bets,
    path,
    restarted_path,
)

ONES = np.ones(3)


def test_a_stake_multiplies_by_the_likelihood_ratio_of_the_drop_that_it_is_made_for() -> None:
    bets = drop_bets(0.9, {0.1: 1.0})
    logs = path(np.array([1.0, 0.0]), np.ones(2), 0.9, "below", bets)
    assert logs == pytest.approx([0, math.log(0.8 / 0.9), math.log(0.8 / 0.9 * 0.2 / 0.1)])


@pytest.mark.parametrize("side", ["above", "below"])
@pytest.mark.parametrize("null", [0.02, 0.5, 0.95])
def test_no_bet_gains_on_average_at_its_null(side, null) -> None:
    for bets in (halving_bets(), drop_bets(null, {0.05: 0.5, 0.2: 0.5})):
        for weight in (0.1, 1.0):
            parts = np.array([weight])
            won, lost = (
                np.exp(path(np.array([value]), parts, null, side, bets)[1]) for value in (1.0, 0.0)
            )
            assert null * won + (1 - null) * lost == pytest.approx(1)


def test_false_alarms_stay_below_their_chance_over_half_a_year() -> None:
    rng = np.random.default_rng(0)
    days = np.linspace(0, HALF_YEAR_DAYS, 400)
    alpha, raised, samples = 0.1, 0, 600
    bets = drop_bets(0.9, {0.05: 0.5, 0.2: 0.5})
    for _ in range(samples):
        values = (rng.random(400) < 0.9).astype(float)
        stake = restarted_path(days, values, np.ones(400), 0.9, "below", bets)
        raised += stake.max() >= enough(alpha)
    assert raised / samples <= alpha
    assert raised > 0, "so wide a bound would see nothing"


def test_a_new_stake_sees_a_late_fall_that_the_first_has_lost_too_much_for() -> None:
    rng = np.random.default_rng(1)
    days = np.arange(500) / 500 * HALF_YEAR_DAYS
    values = np.where(days < 2 * START_DAYS, 1.0, (rng.random(500) < 0.7).astype(float))
    bets = drop_bets(0.9, {0.2: 1.0})
    restarted = restarted_path(days, values, np.ones(500), 0.9, "below", bets)
    alone = path(values, np.ones(500), 0.9, "below", bets)
    assert restarted[-1] >= enough(0.01) > alone[-1] + math.log(3)


def test_a_half_year_holds_no_more_starts_than_are_paid_for() -> None:
    assert enough(0.01) == pytest.approx(math.log(300))
    assert enough(0.01, 7) == pytest.approx(math.log(2600))
    assert (
        restarted_path(np.array([]), np.array([]), np.array([]), 0.5, "above", halving_bets()).size
        == 0
    )


def test_bounds_hold_the_truth_at_all_looks_together() -> None:
    rng = np.random.default_rng(2)
    missed = 0
    for _ in range(150):
        values = rng.beta(6, 1.5, 150)
        sides = (confidence_sequence(values[:n].tolist(), [1.0] * n) for n in (5, 20, 60, 150))
        missed += any(not low <= 0.8 <= high for _, low, high in sides)
    assert missed / 150 <= 0.05


def test_weighted_values_give_the_mean_of_all_and_not_of_those_drawn() -> None:
    # Wrong answers are drawn ten times as often as right ones.
    scores = [0.0] * 100 + [1.0] * 90
    parts = [0.1] * 100 + [1.0] * 90
    mean, low, high = confidence_sequence(scores, parts)
    assert mean == pytest.approx(0.9)
    assert low < 0.9 < high
    assert low > confidence_sequence(scores, [1.0] * 190)[2]


def test_nothing_is_known_without_values() -> None:
    assert confidence_sequence([], []) == (None, 0.0, 1.0)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1)), min_size=1, max_size=40),
    st.floats(0, 1),
)
def test_every_stake_is_finite_and_bounds_are_in_order(pairs, null) -> None:
    values, parts = (np.array(side) for side in zip(*pairs, strict=True))
    for side in ("above", "below"):
        assert np.isfinite(path(values, parts, null, side, halving_bets())).all()
    mean, low, high = confidence_sequence(values.tolist(), parts.tolist())
    assert mean is not None
    assert 0 <= low <= high <= 1


@pytest.mark.parametrize("values", [[1.1, 0, 0], [-0.1, 0, 0]])
def test_a_value_or_weight_out_of_range_is_refused(values) -> None:
    with pytest.raises(ValueError, match="values in"):
        path(np.array(values), ONES, 0.5, "above", halving_bets())
    with pytest.raises(ValueError, match="weights"):
        path(ONES, np.array([0.0, 1, 1]), 0.5, "above", halving_bets())
