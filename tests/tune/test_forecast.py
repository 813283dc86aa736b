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
    """95% nominal, 150 curves a case (Monte-Carlo error about 2 points), each of which departs from
    its law as real ones do: by a fifth of each step."""
    sizes = 50.0 * 2 ** np.arange(7)
    rng = np.random.default_rng(5)
    covered = []
    for seed in range(150):
        exponent, gain = rng.uniform(0.2, 0.7), rng.uniform(0.3, 0.6)
        offset = rng.uniform(0, 150) if bent else 0.0  # steepens, as fine-tuning curves do
        floor = rng.uniform(0.0, 0.1)
        logs = np.log(floor + gain * ((sizes + offset) / (50 + offset)) ** -exponent)
        steps = np.diff(logs, prepend=logs[0]) * (1 + 0.2 * rng.normal(size=7))
        error = np.exp(logs[0] + steps.cumsum())
        seen = np.clip(error[:4] + rng.normal(0, 0.03, 4), 0, 1)
        draws = error_draws(Curve(sizes[:4], seen, np.full(4, 0.03)), sizes[4:], seed)
        low, high = np.quantile(draws, (0.025, 0.975), axis=0)
        covered.append((low <= error[4:]) & (error[4:] <= high))
    assert 0.9 <= np.mean(covered) <= 0.995


def prompt_at(quality, half=0.01):
    return Interval(estimate=quality, low=quality - half, high=quality + half, n=64, method="test")


def test_bands_hold_where_all_sizes_share_the_luck_of_the_dev_rows():
    """As if of 60 dev rows. Nominal 95%, in 60 samples; more sizes do not average it out."""
    rng, sd, held = np.random.default_rng(4), 0.05, []
    for _ in range(60):
        shift = rng.normal(0, sd)
        measured = [
            point(n, law(n) + shift + rng.normal(0, 0.01), half=1.96 * sd) for n in SIZES[:3]
        ]
        band = np.array(forecast(measured, 0.9).curve)
        low, high = (np.interp(np.log(400), np.log(band[:, 0]), band[:, i]) for i in (2, 3))
        held.append(low <= law(400) <= high)
    assert 0.88 <= np.mean(held) <= 1.0


def test_when_the_curve_beats_the_best_prompt():
    rival = forecast(points(), 0.99, 0.5, prompt=prompt_at(0.85)).to_beat_prompt
    assert rival.target == 0.85
    assert rival.rows == pytest.approx(1_000, rel=0.15)
    assert rival.low < rival.rows < rival.high
    assert rival.chance > 0.95
    assert rival.label_cost == pytest.approx(0.5 * (rival.rows - 800))
    assert rival.label_cost_low <= rival.label_cost <= rival.label_cost_high


def test_a_prompt_that_is_less_sure_widens_the_answer():
    sure, unsure = (
        forecast(points(), 0.99, prompt=prompt_at(0.85, half)).to_beat_prompt
        for half in (0.005, 0.04)
    )
    assert unsure.high - unsure.low > sure.high - sure.low


def test_a_prompt_without_an_interval_is_no_rival():
    unknown = Interval(estimate=0.8, low=None, high=None, n=1, method="test")
    assert forecast(points(), 0.9, prompt=unknown).to_beat_prompt is None
    assert forecast(points(), 0.9).to_beat_prompt is None


def test_stop_collecting_where_even_the_best_case_misses_the_goal():
    result = forecast(points(of=lambda n: 0.8 - 3 / n, half=0.005), 0.95, 0.5)
    assert result.stop_collecting
    assert result.at_reach.high < 0.95
    assert result.chance < 0.025
    assert "stop collecting" in result.statement
    assert result.label_cost is None


def test_a_goal_in_reach_is_no_reason_to_stop():
    result = forecast(points(), 0.85)
    assert not result.stop_collecting
    assert result.chance > 0.95
    assert not forecast(points((100, 200)), 0.85).stop_collecting, "unknown is not out of reach"


def test_label_costs_have_the_bounds_of_the_rows():
    result = forecast(points(), 0.85, label_cost=2.0)
    assert result.label_cost_low == 2.0 * max(0, result.rows_low - 800)
    assert result.label_cost_high == 2.0 * (result.rows_high - 800)


def test_loss_is_forecast_beside_the_metric():
    def loss(n):
        return 0.2 + 3 * n**-0.4

    seen = [point(n, law(n)).model_copy(update={"dev_loss": loss(n)}) for n in SIZES]
    ahead = forecast(seen, 0.9).loss
    assert [rows for rows, *_ in ahead] == [1_600, 3_200, 6_400]
    for rows, middle, low, high in ahead:
        assert low <= loss(rows) <= high
        assert middle == pytest.approx(loss(rows), rel=0.1)


def test_a_loss_of_zero_has_no_forecast():
    seen = [point(n, law(n)).model_copy(update={"dev_loss": 0.0}) for n in SIZES]
    assert forecast(seen, 0.9).loss == ()


@pytest.mark.parametrize(
    ("name", "law_of", "tolerance"),
    [
        ("power", lambda n: 2.0 * n**-0.3, 0.03),
        ("floor", lambda n: 0.1 + 2.0 * n**-0.5, 0.08),
        ("rectified", lambda n: 60 / (200 + n**0.7), 0.08),
    ],
)
def test_each_law_is_recognised(name, law_of, tolerance):
    """Points without noise: the middle at 8x is the law's, and the interval holds it."""
    sizes = np.array([50.0, 100, 200, 400, 800, 1_600])
    curve = Curve(sizes, law_of(sizes), 0.001 * law_of(sizes))
    at = np.array([12_800.0])
    low, middle, high = np.quantile(error_draws(curve, at, 0), (0.025, 0.5, 0.975), axis=0)
    assert middle == pytest.approx(law_of(at), rel=tolerance), name
    assert low <= law_of(at) <= high


def test_draws_pass_through_what_was_measured():
    """Within the measured range the draws bend to the points, noise permitting."""
    sizes = np.array(SIZES, dtype=float)
    errors = np.array([0.5, 0.37, 0.30, 0.2, 0.16])
    draws = error_draws(Curve(sizes, errors, np.full(5, 0.001)), sizes, 0)
    assert np.median(draws, axis=0) == pytest.approx(errors, rel=0.02)
