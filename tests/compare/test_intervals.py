import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.compare.bounds import effective_clusters
from trimtab.compare.intervals import (
    amount_interval,
    difference_interval,
    mean_interval,
    wilson,
)

SCORES = st.lists(st.sampled_from([0.0, 0.1, 1 / 3, 0.5, 0.9, 1.0]), min_size=2, max_size=60)


def test_wilson_known_answers():
    """81 of 263, 0 of 20 and 1 of 29: Newcombe 1998, Stat. Med. 17:857-872, table I."""
    for successes, n, low, high in [(81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611)]:
        interval = wilson(successes, n)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)
    interval = wilson(1, 29)
    assert (interval.low, interval.high) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_what_is_undefined_stays_undefined():
    assert wilson(0, 0).estimate is None
    assert mean_interval([]).estimate is None
    for interval in (wilson(1, 1), mean_interval([0.4]), difference_interval([-0.4])):
        assert interval.estimate is not None
        assert interval.low is None and interval.high is None


def sure_answers(wrong: int) -> list[float]:
    """Bits a byte of 23 answers: almost none for the sure ones, and some wrong ones."""
    return [0.001 * (1 + i % 7) for i in range(23 - wrong)] + [1.7 + 0.1 * i for i in range(wrong)]


def test_a_bound_that_few_large_values_settle_is_left_open():
    one = amount_interval(sure_answers(1), floor=0.0)
    assert one.estimate == pytest.approx(sum(sure_answers(1)) / 23)
    assert one.high is None, "a third of the resamples lack the one large value"
    assert 0 <= one.low < one.estimate
    mirrored = amount_interval([-value for value in sure_answers(1)])
    assert mirrored.low is None and mirrored.high > mirrored.estimate
    several = amount_interval(sure_answers(10), floor=0.0)
    assert several.low < several.estimate < several.high < 2


def test_an_amount_that_cannot_be_negative_has_no_negative_bound():
    free, bounded = (amount_interval(sure_answers(1), floor=floor) for floor in (None, 0.0))
    assert free.low < 0 == bounded.low
    assert (free.high, free.estimate) == (bounded.high, bounded.estimate)


def test_even_amounts_have_both_bounds_as_student_has_them():
    values = [float(i) for i in range(1, 41)]
    found = amount_interval(values, floor=0.0)
    half = 2.0227 * 11.690 / 40**0.5
    assert (found.low, found.high) == pytest.approx((20.5 - half, 20.5 + half), abs=0.4)


def test_one_cluster_says_nothing_about_spread():
    for values in ([1.0, 0.0, 1.0], [0.2, 0.9, 0.4]):
        interval = mean_interval(values, ["same"] * 3)
        assert interval.low is None and interval.high is None


def test_binary_scores_get_wilson():
    assert mean_interval([1.0, 0.0, 1.0, 1.0]) == wilson(3, 4)


def test_equal_scores_are_not_certain():
    interval = mean_interval([0.5] * 60)
    assert interval.low < 0.45 and interval.high > 0.55
    interval = difference_interval([0.0] * 200)
    assert interval.low == -interval.high
    assert interval.high == pytest.approx(1.96**2 / (200 + 1.96**2), abs=1e-5)


def test_rows_of_a_cluster_do_not_count_as_many():
    values = [0.0, 1.0, 1.0, 1.0, 0.0, 1.0] * 5
    alone = mean_interval(values)
    copied = mean_interval(values * 4, [str(i % 30) for i in range(120)])
    assert copied.high - copied.low == pytest.approx(alone.high - alone.low, rel=0.05)


def test_clusters_of_one_change_nothing():
    values = [0.1 * (i % 11) for i in range(40)]
    assert mean_interval(values, [str(i) for i in range(40)], seed=4) == mean_interval(
        values, seed=4
    )


@given(SCORES)
def test_bounds_hold_the_estimate_and_stay_in_range(values):
    for interval, floor in ((mean_interval(values), 0), (difference_interval(values), -1)):
        assert floor <= interval.low <= interval.estimate + 1e-12
        assert interval.estimate - 1e-12 <= interval.high <= 1
        assert interval.high > interval.low


@given(SCORES)
def test_swapping_sides_mirrors_the_difference(values):
    forth = difference_interval(values)
    back = difference_interval([-v for v in values])
    assert back.low == pytest.approx(-forth.high, abs=0.02)
    assert back.high == pytest.approx(-forth.low, abs=0.02)


def test_the_seed_decides():
    values = [0.1 * (i % 11) for i in range(40)]
    assert mean_interval(values, seed=1) == mean_interval(values, seed=1)
    assert mean_interval(values, seed=1) != mean_interval(values, seed=2)


@pytest.mark.parametrize("bad", [1.2, -0.1, float("nan")])
def test_scores_outside_the_range_are_refused(bad):
    with pytest.raises(ValueError, match="must lie in"):
        mean_interval([0.5, bad])


def test_impossible_counts_are_refused():
    with pytest.raises(ValueError, match="not a proportion"):
        wilson(3, 2)


def test_a_large_cluster_counts_as_one_observation() -> None:
    """24 of 60 rows are one group that all gained; of 36 others six gained and six lost. By the
    group as the unit that is 0.40 with a standard error of 0.25, so no gain is shown."""
    differences = [1.0] * 24 + [1.0] * 6 + [-1.0] * 6 + [0.0] * 24
    names = ["group"] * 24 + [f"row {i}" for i in range(36)]
    found = difference_interval(differences, names)
    assert found.estimate == pytest.approx(0.4)
    assert found.low < 0.05
    assert found.high > 0.7
    alone = difference_interval(differences)
    assert alone.low > found.low and alone.high < found.high


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_effective_clusters_are_between_one_and_their_number(codes) -> None:
    numbers = np.unique(codes, return_inverse=True)[1]
    found, groups = effective_clusters(numbers), int(numbers.max()) + 1
    assert 1 - 1e-9 <= found <= groups + 1e-9
    assert effective_clusters(np.repeat(np.arange(7), 3)) == pytest.approx(7)
