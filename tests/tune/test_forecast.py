import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.tune.curve_fit import Curve, error_draws
from trimtab.tune.forecast import forecast
from trimtab.types import CurvePoint, Interval

SIZES = (50, 100, 200, 400, 800)


def law(rows):
    """Reaches 0.85 at 1,000 rows."""
    return 1 - (0.05 + 3.1623 * rows**-0.5)


def point(rows, quality, *, half=0.01, seed=0, sweep=False):
    bounded = half is not None
    return CurvePoint(
        rows=rows,
        seed=seed,
        learning_rate=1e-3,
        epoch=2,
        epochs=3,
        train_tokens=1_000,
        seconds=1.0,
        dev_loss=1.0,
        dev_quality=Interval(
            estimate=quality,
            low=quality - half if bounded else None,
            high=quality + half if bounded else None,
            n=64,
            method="test",
        ),
        variant="v",
        sweep=sweep,
    )


def points(sizes=SIZES, of=law, half=0.01):
    return [point(n, of(n), half=half) for n in sizes]


def test_a_clean_curve_is_read_right():
    result = forecast(points(), 0.85, label_cost=0.5)
    assert result.rows_needed == pytest.approx(1_000, rel=0.15)
    assert result.rows_low < 1_000 < result.rows_high
    assert result.label_cost == pytest.approx(0.5 * (result.rows_needed - 800))
    assert result.rows_now == 800
    assert "would reach 0.85" in result.statement


@pytest.mark.parametrize("sizes", [(), (100,), (100, 200)])
def test_fewer_than_three_sizes_cannot_tell(sizes):
    result = forecast(points(sizes), 0.85)
    assert result.rows_needed is None
    assert result.curve == ()
    assert "cannot be told" in result.statement


def test_seeds_sweeps_and_unbounded_points_are_not_sizes():
    extra = [
        point(100, 0.7, seed=1),
        point(400, 0.1, sweep=True),
        point(800, 0.9, half=None),
    ]
    assert "cannot be told" in forecast([*points((100, 200)), *extra], 0.85).statement


def test_nothing_is_said_beyond_eight_times_the_largest_size():
    result = forecast(points((20, 40, 80)), 0.85)
    assert result.curve[-1][0] == 640
    assert result.rows_needed is None
    assert "640 rows, as far as this curve can say" in result.statement
    for rows in (result.rows_low, result.rows_high):
        assert rows is None or rows <= 640


def test_a_late_upper_bound_is_open_not_invented():
    result = forecast(points((50, 100, 200), half=0.06), 0.85)
    assert result.rows_high is None
    if result.rows_needed is not None:
        assert "beyond 1,600" in result.statement


def test_a_flat_curve_never_gets_there():
    result = forecast(points(of=lambda n: 0.6), 0.85)
    assert result.rows_needed is None
    assert result.curve[-1][1] == pytest.approx(0.6, abs=0.02)


def test_a_falling_curve_is_not_bent_upwards():
    result = forecast(points(of=lambda n: 0.7 - n / 10_000), 0.85)
    assert result.rows_needed is None


def test_a_goal_inside_the_measured_range_costs_nothing():
    result = forecast(points(), law(300), label_cost=0.5)
    assert result.rows_needed == pytest.approx(300, rel=0.2)
    assert result.label_cost == 0
    assert "within the 800 that were measured" in result.statement


def test_labels_that_exist_cost_nothing():
    result = forecast(points((50, 100, 200, 400)), 0.85, 0.5, labelled=900)
    assert result.rows_now == 900
    assert result.label_cost == pytest.approx(0.5 * (result.rows_needed - 900))


def test_wider_points_give_wider_bands():
    narrow, wide = (forecast(points(half=half), 0.9).curve[-1] for half in (0.01, 0.08))
    assert wide[3] - wide[2] > narrow[3] - narrow[2]


def test_a_curve_that_breaks_its_own_forecasts_is_trusted_less():
    sizes = np.array(SIZES, dtype=float)
    sds = np.full(5, 0.005)
    at = np.array([3_200.0])
    smooth = Curve(sizes, 1 - law(sizes), sds)
    jumpy = Curve(sizes, 1 - law(sizes) + np.array([0, 0, 0.0, 0.06, -0.04]), sds)
    spread = [error_draws(curve, at, 0).std() for curve in (smooth, jumpy)]
    assert spread[1] > 2 * spread[0]


def test_the_seed_decides():
    assert forecast(points(), 0.9, seed=1) == forecast(points(), 0.9, seed=1)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=6), st.floats(0.05, 1))
@settings(max_examples=30, deadline=None)
def test_any_curve_gives_ordered_rows_and_qualities_in_range(qualities, goal):
    sizes = [50 * 2**i for i in range(len(qualities))]
    result = forecast([point(n, q) for n, q in zip(sizes, qualities, strict=True)], goal)
    for _, middle, low, high in result.curve:
        assert 0 <= low <= middle <= high <= 1
    known = [r for r in (result.rows_low, result.rows_needed, result.rows_high) if r is not None]
    assert known == sorted(known)
    assert result.rows_needed is None or result.rows_low is not None


@pytest.mark.parametrize("bent", [False, True])
def test_bands_cover_what_happens_later(bent):
    """95% nominal, 150 curves a case (Monte-Carlo error about 2 points)."""
    sizes = np.array([50.0, 100, 200, 400])
    at = np.array([800.0, 1_600, 3_200])
    rng = np.random.default_rng(5)
    covered = []
    for seed in range(150):
        exponent, gain = rng.uniform(0.2, 0.7), rng.uniform(0.3, 0.6)
        offset = rng.uniform(0, 150) if bent else 0.0  # steepens, as fine-tuning curves do
        floor = rng.uniform(0.0, 0.1)

        def error(n, exponent=exponent, gain=gain, offset=offset, floor=floor):
            return floor + gain * ((n + offset) / (50 + offset)) ** -exponent

        seen = np.clip(error(sizes) + rng.normal(0, 0.03, 4), 0, 1)
        draws = error_draws(Curve(sizes, seen, np.full(4, 0.03)), at, seed)
        low, high = np.quantile(draws, (0.025, 0.975), axis=0)
        covered.append((low <= error(at)) & (error(at) <= high))
    assert 0.9 <= np.mean(covered) <= 0.995
