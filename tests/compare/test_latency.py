"""Latency of few timed calls: what they say, what they cannot, and how often that is right."""

import numpy as np
import pytest

from trimtab.compare import latency as module
from trimtab.compare.latency import CALLS_FOR_P95, latency, p95_order_bounds
from trimtab.types import Completion

COST = np.array([0.05, 0.002, 0.08])
"""Seconds of a call, of a token read and of one written: a small model on two cores."""


def tokens(count, rng, spread=0.3):
    """(count, 3): 1, tokens read and written, both lognormal."""
    read = rng.lognormal(np.log(300), spread / 2, count).round()
    written = rng.lognormal(np.log(45), spread, count).round()
    return np.column_stack([np.ones(count), read, written])


def calls(rows, seconds=None):
    return [
        Completion(
            text="",
            finish="stop",
            tokens_in=int(row[1]),
            tokens_out=int(row[2]),
            latency_s=None if seconds is None else float(seconds[i]),
        )
        for i, row in enumerate(rows)
    ]


def measured(rows, timed, rng, noise=0.1, seed=0):
    times = rows[:timed] @ COST * (1 + noise * rng.standard_normal(timed))
    return latency(calls(rows[:timed], times), calls(rows), seed)


@pytest.mark.parametrize(
    ("timed", "spread", "noise"), [(15, 0.3, 0.1), (15, 0.0, 0.2), (60, 0.3, 0.1)]
)
def test_the_intervals_cover(monkeypatch, timed, spread, noise):
    """Nominal 95%; 600 samples leave a standard error of 0.9 points."""
    monkeypatch.setattr(module, "DRAWS", 200)
    monkeypatch.setattr(module, "_CALLS_A_DRAW", 1_000)
    rng = np.random.default_rng(21)
    everything = tokens(400_000, rng, spread) @ COST * (1 + noise * rng.standard_normal(400_000))
    truth = {"p95": np.quantile(everything, 0.95), "mean": everything.mean()}
    covered = dict.fromkeys(truth, 0)
    for sample in range(600):
        found = measured(tokens(120, rng, spread), timed, rng, noise, sample)
        for name, interval in (("p95", found.p95_interval), ("mean", found.mean_interval)):
            above = interval.high is None or truth[name] <= interval.high
            covered[name] += interval.low is not None and interval.low <= truth[name] and above
    for name, count in covered.items():
        assert 0.92 <= count / 600 <= 0.98, name


def test_the_rows_count_that_were_not_timed():
    """Timed on short answers, asked about answers of three times the length."""
    rng = np.random.default_rng(10)
    short = tokens(15, rng, 0.1)
    long = tokens(120, rng, 0.1) * [1, 1, 3]
    times = short @ COST * (1 + 0.02 * rng.standard_normal(15))
    found = latency(calls(short, times), calls(long))
    assert found.p95_interval.low <= np.quantile(long @ COST, 0.95) <= found.p95_interval.high
    assert found.p95_interval.low > times.max()
    assert found.mean_interval.low <= (long @ COST).mean() <= found.mean_interval.high


def test_the_estimates_are_those_of_their_intervals():
    found = measured(tokens(120, np.random.default_rng(2)), 15, np.random.default_rng(3))
    assert found.p50 < found.p95
    assert found.p95_interval.estimate == found.p95
    assert found.mean_interval.estimate == found.mean
    assert found.p95_interval.n == found.n == 15


def test_equal_calls_give_equal_figures():
    rows = tokens(40, np.random.default_rng(4))
    first, again = (measured(rows, 15, np.random.default_rng(5), seed=7) for _ in range(2))
    assert first == again


def test_a_pause_that_no_token_explains_leaves_the_order_only():
    rng = np.random.default_rng(6)
    rows = tokens(120, rng)
    times = rows[:15] @ COST
    times[4] *= 3
    found = latency(calls(rows[:15], times), calls(rows))
    assert found.p95 == times.max()
    assert found.p95_interval.method == "order statistics"
    assert found.p95_interval.high is None
    assert found.mean_interval.method == "Student's t"


@pytest.mark.parametrize(
    ("timed", "method"), [(9, "order statistics"), (10, "seconds from tokens")]
)
def test_too_few_calls_to_fit_leave_the_order_only(timed, method):
    found = measured(tokens(50, np.random.default_rng(7)), timed, np.random.default_rng(8))
    assert found.p95_interval.method.startswith(method)


def test_answers_of_one_length_can_be_fitted():
    """Columns that say the same must not make the figures wild."""
    rng = np.random.default_rng(9)
    rows = tokens(100, rng, 0.0)
    found = measured(rows, 15, rng, noise=0.05)
    assert found.p95_interval.high < 1.5 * found.mean


def test_one_call_has_no_interval():
    found = latency(calls(tokens(1, np.random.default_rng(0)), [2.0]), [])
    assert (found.p50, found.p95, found.mean, found.n) == (2.0, 2.0, 2.0, 1)
    assert found.p95_interval.high is None
    assert (found.mean_interval.low, found.mean_interval.high) == (None, None)


def test_no_timed_call_and_a_call_without_a_time_are_refused():
    with pytest.raises(ValueError, match="no timed call"):
        latency([], [])
    with pytest.raises(ValueError, match="without its time"):
        latency(calls(tokens(1, np.random.default_rng(0))), [])


def test_percentiles_of_timed_calls_are_measured_values():
    found = latency(calls(tokens(100, np.random.default_rng(0)), np.arange(1.0, 101.0)), [])
    assert (found.p50, found.p95, found.mean, found.n) == (50.0, 95.0, 50.5, 100)


@pytest.mark.parametrize("n", [1, 15, 58, 59, 60, 71, 72, 200, 1000])
def test_order_bounds_cover_exactly(n):
    """From the binomial itself: both misses together in at most 5% of samples."""
    from scipy.stats import binom

    low, high = p95_order_bounds(np.arange(1.0, n + 1))
    assert (high is None) == (n < CALLS_FOR_P95)
    below = np.arange(n + 1)
    missed_low = 0.0 if low is None else binom.pmf(below, n, 0.95)[below < low].sum()
    missed_high = 0.0 if high is None else binom.pmf(below, n, 0.95)[below >= high].sum()
    assert missed_low + missed_high <= 0.05 + 1e-12
    if high is not None and high > 1:  # and no tighter bound would do
        tighter = binom.pmf(below, n, 0.95)[below >= high - 1].sum()
        assert tighter > 0.025
