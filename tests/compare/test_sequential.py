"""Tests by betting. 400 samples a case leave a standard error of about one point at 5%."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.compare.paired import compare
from trimtab.compare.sequential import (
    Looks,
    PairedBet,
    Standing,
    block_ends,
    deciding,
    largest_cluster,
    sequential_comparison,
)

from .factories import answers

LEAST, ALPHA = 0.05, 0.05
BETS = [0.98 / 2**i for i in range(6)]
"""The grid for LEAST: 0.98 down to 0.030625, the first that is no more than 0.05."""


def wealth(differences, null, sign, bets=BETS):
    """The mixture by its definition, bet by bet and row by row."""
    excess = [sign * (d - null) / (1 + sign * null) for d in differences]
    return sum(math.prod(1 + bet * x for x in excess) for bet in bets) / len(bets)


def shares(values, weights):
    total = sum(weights)
    return np.array(values), np.array(weights) / total


def test_the_stake_is_the_product_by_hand():
    bet = PairedBet(LEAST, ALPHA)
    rows = [1.0, 0.0, -1.0, 0.5, 1.0]
    for row in rows:
        bet.add(row)
    assert bet.e_superior == pytest.approx(wealth(rows, 0.0, 1))
    assert bet.e_futile == pytest.approx(wealth(rows, LEAST, -1))
    assert not bet.superior and not bet.futile


def test_before_the_first_row_nothing_is_known():
    bet = PairedBet(LEAST, ALPHA)
    assert bet.e_superior == bet.e_futile == pytest.approx(1.0)


def test_wins_only_are_superior_and_losses_only_futile():
    wins, losses = PairedBet(LEAST, ALPHA), PairedBet(LEAST, ALPHA)
    for _ in range(8):
        wins.add(1.0)
        losses.add(-1.0)
    assert (wins.superior, wins.futile) == (True, False)
    assert (losses.superior, losses.futile) == (False, True)


def test_what_was_once_shown_stays_shown():
    bet = PairedBet(LEAST, ALPHA)
    for row in [1.0] * 8 + [-1.0] * 30:
        bet.add(row)
    assert bet.superior and bet.e_superior < 1


def test_much_evidence_stays_finite():
    bet = PairedBet(LEAST, ALPHA)
    for _ in range(3_000):
        bet.add(1.0)
    assert math.isfinite(bet.e_superior)
    assert bet.e_futile < 1e-10


@pytest.mark.parametrize("row", [1.01, -1.5, math.nan])
def test_a_difference_outside_its_range_is_refused(row):
    with pytest.raises(ValueError, match=r"\[-1, 1\]"):
        PairedBet(LEAST, ALPHA).add(row)


@pytest.mark.parametrize(("least", "alpha"), [(0, 0.05), (1, 0.05), (0.05, 0), (0.05, 1)])
def test_settings_outside_their_range_are_refused(least, alpha):
    with pytest.raises(ValueError, match="between 0 and 1"):
        PairedBet(least, alpha)


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=5),
    st.lists(st.floats(0.05, 1), min_size=5, max_size=5),
    st.sampled_from([(0.0, 1), (LEAST, -1), (-LEAST, 1), (-LEAST, -1)]),
)
@settings(deadline=None)
def test_no_bet_gains_on_average_under_its_hypothesis(values, weights, hypothesis_):
    """Exactly: the expected factor of one row is at most 1 for any distribution in the hypothesis,
    and this is all that Ville's inequality needs."""
    null, sign = hypothesis_
    values, weights = shares(values, weights[: len(values)])
    mean = float(values @ weights)
    moved = values + (null - mean) if sign * (mean - null) > 0 else values
    if np.abs(moved).max() > 1:
        return
    factor = sum(
        w * np.mean([1 + bet * sign * (v - null) / (1 + sign * null) for bet in BETS])
        for v, w in zip(moved, weights, strict=True)
    )
    assert factor <= 1 + 1e-9


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=6),
    st.lists(st.floats(0.05, 1), min_size=6, max_size=6),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=5, deadline=None)
def test_false_claims_stay_rare_whatever_the_rows(values, weights, seed):
    """Looked at after every one of 150 rows; at 5% some 20 of 400 may err, and 36 hardly ever."""
    values, weights = shares(values, weights[: len(values)])
    values = (values - values @ weights) / max(1.0, np.abs(values - values @ weights).max())
    rng = np.random.default_rng(seed)
    rows = rng.choice(values, (400, 150), p=weights)
    logs = np.log1p(np.array(BETS)[:, None, None] * rows).cumsum(axis=2)
    reached = np.exp(logs).mean(axis=0).max(axis=1) >= 1 / ALPHA
    assert reached.sum() <= 36
    one = PairedBet(LEAST, ALPHA)
    for row in rows[0].tolist():
        one.add(row)
    assert one.superior == reached[0], "the simulation must be that of the code"


def test_a_gain_of_twice_the_least_is_seen_early():
    """Fixed rows for 80% power at the least: 2.80^2 x 0.2 / 0.05^2 = 628."""
    rng = np.random.default_rng(3)
    fixed, taken = 628, []
    for _ in range(60):
        rows = rng.choice([1.0, 0.0, -1.0], 2 * fixed, p=[0.15, 0.8, 0.05])
        found = sequential_comparison(rows.tolist(), LEAST, ALPHA, 10)
        assert found.outcome == "superior"
        taken.append(found.rows_used)
    assert np.mean(taken) < 0.35 * fixed


def test_the_interval_agrees_with_the_claims():
    """By construction: superior is an interval above 0, futile one below the least."""
    rng = np.random.default_rng(4)
    seen = set()
    for gain in (-0.3, -0.1, 0.0, 0.1, 0.3):
        for _ in range(10):
            rows = np.clip(rng.normal(gain, 0.4, 300), -1, 1).tolist()
            found = sequential_comparison(rows, LEAST, ALPHA, 20)
            low, high = found.interval.low, found.interval.high
            assert (low > 0) == (found.e_superior >= 1 / ALPHA)
            assert (high < LEAST) == (found.e_futile >= 1 / ALPHA)
            assert low <= found.interval.estimate <= high
            if found.outcome == "superior":
                assert low > 0 and found.interval.estimate >= LEAST
            if found.outcome == "futile":
                assert high < LEAST and (low > -LEAST or high < -LEAST)
            seen.add(found.outcome)
    assert seen == {"superior", "futile", "open"}


def test_the_interval_holds_the_truth_at_all_looks_together():
    """Nominal 90% over every look; at most 10 of 100 samples may ever leave it out."""
    rng = np.random.default_rng(5)
    missed = 0
    for _ in range(100):
        rows = rng.choice([1.0, 0.0, -1.0], 200, p=[0.2, 0.7, 0.1])
        looks = Looks(LEAST, ALPHA)
        left_out = False
        for start in range(0, 200, 50):
            looks.add(rows[start : start + 50].tolist())
            interval = looks.result(0).interval
            left_out = left_out or not interval.low <= 0.1 <= interval.high
        missed += left_out
    assert missed <= 10


def test_the_order_of_the_rows_does_not_matter():
    rng = np.random.default_rng(6)
    rows = rng.uniform(-1, 1, 100)
    ends = [sequential_comparison(r.tolist(), LEAST, 1e-9, 100) for r in (rows, rows[::-1])]
    assert ends[0].e_superior == pytest.approx(ends[1].e_superior)
    assert ends[0].interval.low == pytest.approx(ends[1].interval.low)


def test_rows_end_without_an_answer():
    found = sequential_comparison([0.0] * 50, LEAST, ALPHA, 20)
    assert (found.outcome, found.rows_used, found.rows_saved, found.looks) == ("open", 50, 0, 3)


@pytest.mark.parametrize(("rows", "bounded"), [([], False), ([1.0], False), ([1.0, 0.0], True)])
def test_too_few_rows_have_no_interval(rows, bounded):
    interval = sequential_comparison(rows, LEAST, ALPHA, 5).interval
    assert (interval.low is not None) == bounded
    assert (interval.estimate is None) == (not rows)


def test_nothing_ends_before_the_first_look():
    found = sequential_comparison([1.0] * 100, LEAST, ALPHA, 10, first_look=50)
    assert (found.rows_used, found.rows_saved) == (50, 50)


def test_copies_in_a_cluster_are_one_piece_of_evidence():
    """Ten clusters of ten equal rows say what ten rows say."""
    rows = [1.0, 1.0, 0.0, 1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0]
    copies = [row for row in rows for _ in range(10)]
    names = [str(i) for i in range(10) for _ in range(10)]
    alone = sequential_comparison(rows, LEAST, 1e-6, 100)
    together = sequential_comparison(copies, LEAST, 1e-6, 100, names)
    assert together.e_superior == pytest.approx(alone.e_superior)
    assert together.e_futile == pytest.approx(alone.e_futile)
    assert together.interval.low == pytest.approx(alone.interval.low)
    assert together.interval.n == 100


def test_clusters_of_unequal_size_keep_the_mean_over_rows():
    found = sequential_comparison([1.0, 1.0, 1.0, -1.0], LEAST, ALPHA, 9, ["a", "a", "a", "b"])
    assert found.interval.estimate == 0.5
    by_hand = np.mean([(1 + bet) * (1 - bet / 3) for bet in BETS])
    assert found.e_superior == pytest.approx(by_hand)


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 10))
def test_blocks_end_between_clusters(clusters, block):
    names = [str(c) for c in clusters]
    ends = block_ends(len(names), block, names)
    parts = [set(names[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
    assert sum(map(len, parts)) == len(set(names)), "no cluster is in two blocks"
    assert (ends[-1] if ends else 0) == len(names)
    assert all(b - a >= block for a, b in zip([0, *ends], ends[:-1], strict=False))


def test_blocks_of_single_rows():
    assert block_ends(10, 4) == [4, 8, 10]
    assert block_ends(0, 4) == []
    assert largest_cluster(["a", "b", "a"]) == 2
    assert largest_cluster(None) == largest_cluster([]) == 1
    with pytest.raises(ValueError, match="at least one row"):
        block_ends(10, 0)


@pytest.mark.parametrize(("share", "clear"), [(0.3, True), (0.75, False), (0.99, True)])
def test_a_mean_is_clear_of_a_goal_or_not(share, clear):
    rng = np.random.default_rng(7)
    standing = Standing(0.75, LEAST, ALPHA)
    standing.add((rng.random(150) < share).astype(float).tolist())
    assert standing.clear == clear


def test_early_ends_decide_by_their_own_interval():
    a, b = answers([0.0] * 40), answers([1.0, 1.0, 0.0, 1.0] * 10, of="b")
    fixed = compare(a, b, "m")
    looked = sequential_comparison([1.0, 1.0, 0.0, 1.0] * 20, LEAST, ALPHA, 40)
    assert looked.rows_saved == 40
    result = deciding(fixed, looked)
    assert result.difference == looked.interval
    assert result.fixed_rows == fixed.difference
    assert result.difference.low < fixed.difference.low
    assert result.p_value == pytest.approx(2 / looked.e_superior)


def test_all_rows_decide_by_the_interval_of_all_rows():
    a, b = answers([0.0, 1.0] * 20), answers([1.0, 0.0] * 20, of="b")
    fixed = compare(a, b, "m")
    looked = sequential_comparison([1.0, -1.0] * 20, LEAST, ALPHA, 20)
    result = deciding(fixed, looked)
    assert result == fixed.model_copy(update={"sequential": looked})
    assert result.fixed_rows is None
