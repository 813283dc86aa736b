import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.compare.intervals import difference_interval, mean_interval, wilson

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
