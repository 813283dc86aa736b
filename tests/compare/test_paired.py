from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import binomtest

from trimtab.compare.paired import compare, mcnemar, rows_to_settle, tango
from trimtab.errors import RunError

from .factories import answer, answers, failure


def test_published_example():
    """1 and 7 changes of 21: Fagerland et al. 2014, Stat. Med. 33:2850-2875."""
    interval = tango(1, 7, 21)
    assert (interval.low, interval.high) == pytest.approx((-0.517, -0.026), abs=5e-4)
    assert mcnemar(1, 7) == pytest.approx(0.0703, abs=5e-5)


@pytest.mark.parametrize(("wins", "losses"), [(0, 0), (3, 3), (9, 1), (40, 61), (700, 800)])
def test_mcnemar_is_the_binomial_test(wins, losses):
    expected = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    assert mcnemar(wins, losses) == pytest.approx(expected)
    assert mcnemar(losses, wins) == mcnemar(wins, losses)


def test_the_difference_is_b_minus_a():
    result = compare(answers([0, 0, 1, 0] * 10), answers([1, 0, 1, 1] * 10, of="b"), "m")
    assert result.difference.estimate == 0.5
    assert (result.wins, result.losses, result.ties) == (20, 0, 20)
    assert result.test == "exact McNemar"
    assert (result.a, result.b, result.n) == ("a", "b", 40)


def test_a_failure_is_never_a_zero():
    a = [*answers([1.0] * 30), failure("late"), answer("only a", {"m": 1.0})]
    b = [*answers([1.0] * 30, of="b"), answer("late", {"m": 0.0}, of="b"), failure("x", of="b")]
    result = compare(a, b, "m")
    assert result.n == 30
    assert result.difference.estimate == 0.0
    assert (result.failures_a, result.failures_b) == (1, 1)


def test_pairing_follows_the_example_not_the_order():
    scores = [i / 40 for i in range(40)]
    result = compare(answers(scores), answers(scores, of="b")[::-1], "m")
    assert result.ties == 40
    assert result.difference.estimate == 0.0
    assert result.p_value == 1.0
    assert result.smallest_detectable is None


def test_only_the_first_repeat_is_judged():
    again = [answer("e0", {"m": 0.0}, of="b", repeat=1)]
    result = compare(answers([1.0, 1.0]), [*answers([1.0, 1.0], of="b"), *again], "m")
    assert result.ties == 2


def test_fractional_scores_get_a_bootstrap_and_a_permutation_test():
    rng = np.random.default_rng(0)
    base = rng.beta(3, 2, 80)
    better = np.clip(base + rng.normal(0.08, 0.1, 80), 0, 1)
    result = compare(answers(base), answers(better, of="b"), "m", seed=1)
    assert result.difference.low > 0
    assert result.p_value < 0.001
    assert "permutation" in result.test
    assert result == compare(answers(base), answers(better, of="b"), "m", seed=1)


def test_sign_flips_match_the_exact_test():
    """Five wins of five equal differences: 2 of 32 sign patterns are as extreme."""
    result = compare(answers([0.2] * 5), answers([0.7] * 5, of="b"), "m")
    assert result.p_value == pytest.approx(2 / 32, abs=0.01)


def test_rows_of_one_cluster_are_one_piece_of_evidence():
    a, b = answers([0.0] * 12), answers([1.0] * 12, of="b")
    alone = compare(a, b, "m")
    two = compare(a, b, "m", clusters={f"e{i}": str(i % 2) for i in range(12)})
    assert alone.p_value < 0.001
    assert two.p_value == pytest.approx(0.5, abs=0.02)
    assert two.difference.low < alone.difference.low


def test_smallest_detectable_and_rows_to_settle():
    """By hand: sd of ten 0s and ten 1s is 0.51299; (1.95996 + 0.84162) 0.51299 / sqrt 20."""
    result = compare(answers([0.0] * 20), answers([0.0, 1.0] * 10, of="b"), "m")
    assert result.smallest_detectable == pytest.approx(0.32137, abs=1e-5)
    assert rows_to_settle(result, result.smallest_detectable) == 20
    assert rows_to_settle(result, result.smallest_detectable / 2) == 80


def test_nothing_in_common_leaves_everything_unknown():
    result = compare([answer("x", {"m": 1.0})], [answer("y", {"m": 1.0}, of="b")], "m")
    assert result.n == 0
    assert result.difference.estimate is None
    assert result.p_value is None
    assert rows_to_settle(result, 0.03) is None


def test_tango_narrows_with_rows():
    widths = [i.high - i.low for i in (tango(3 * k, k, 20 * k) for k in (1, 2, 4, 8))]
    assert all(wide > narrow for wide, narrow in pairwise(widths))


@pytest.mark.parametrize(
    ("a", "match"),
    [
        ([], "needs records"),
        ([*answers([1.0]), *answers([1.0])], "two records of example e0"),
        ([*answers([1.0]), answer("e9", {"m": 1.0}, of="other")], "mixed"),
        (answers([1.0], metric="other"), "without 'm'"),
    ],
)
def test_unusable_records_are_refused(a, match):
    with pytest.raises(RunError, match=match):
        compare(a, answers([1.0], of="b"), "m")
