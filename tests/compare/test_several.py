import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.compare.intervals import difference_interval
from trimtab.compare.several import holm, widened


def test_holm_by_hand():
    """Sorted .01 .02 .03 .04 times 4 3 2 1 are .04 .06 .06 .04, and never fall: .04 .06 .06 .06."""
    found = holm({"a": 0.04, "b": 0.01, "c": None, "d": 0.03, "e": 0.02})
    assert found["c"] is None
    assert [found[name] for name in "beda"] == pytest.approx([0.04, 0.06, 0.06, 0.06])


def test_holm_of_one_claim_changes_nothing():
    assert holm({"only": 0.03, "unknown": None}) == {"only": 0.03, "unknown": None}
    assert holm({}) == {}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_never_helps(values):
    names = [str(i) for i in range(len(values))]
    found = holm(dict(zip(names, values, strict=True)))
    for name, value in zip(names, values, strict=True):
        assert value <= found[name] <= min(1.0, len(values) * value) + 1e-12
    ranked = sorted(names, key=lambda name: values[int(name)])
    adjusted = [found[name] for name in ranked]
    assert adjusted == sorted(adjusted)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_holm_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match="p-values"):
        holm({"a": p})


def test_false_claims_together_stay_at_the_level():
    rng = np.random.default_rng(0)
    false = [min(holm(dict(enumerate(p))).values()) <= 0.05 for p in rng.random((4_000, 5))]
    assert 0.04 <= np.mean(false) <= 0.06


ROWS = [0.1, -0.2, 0.4, 0.0, 0.3, 0.2, -0.1, 0.5, 0.1, 0.2, 0.0, 0.6] * 5


def test_without_further_sources_it_is_the_interval_of_the_rows():
    plain = difference_interval(ROWS)
    found = widened(ROWS, {})
    assert (found.interval.low, found.interval.high) == pytest.approx((plain.low, plain.high))
    assert found.unknown == ()


def test_sources_are_joined_by_hand():
    """Student's t with one degree of freedom, 12.706, times the standard error 0.01."""
    plain = difference_interval(ROWS)
    found = widened(ROWS, {"training seed": [0.16, 0.18]})
    assert found.halves["training seed"] == pytest.approx(0.12706, abs=1e-4)
    assert found.interval.estimate == plain.estimate
    assert found.interval.low == pytest.approx(
        plain.estimate - np.hypot(plain.estimate - plain.low, 0.12706), abs=1e-5
    )
    assert "training seed" in found.interval.method


def test_a_source_measured_once_is_unknown_not_zero():
    found = widened(ROWS, {"training seed": [0.17], "prompt format": [0.1, 0.2, 0.3]})
    assert found.unknown == ("training seed",)
    assert found.interval.low is None and found.interval.high is None
    assert found.interval.estimate is not None
    assert set(found.halves) == {"prompt format"}


def test_bounds_stay_in_range():
    found = widened([0.9] * 30 + [0.8] * 30, {"training seed": [0.5, 1.0]})
    assert found.interval.high == 1.0


@pytest.mark.parametrize(("seeds", "formats"), [(3, 4), (5, 3)])
def test_seeds_and_formats_in_the_interval_cover(seeds, formats):
    """Nominal 95% for the mean over all rows, seeds and formats. Rows alone hold it far less often.

    200 samples: a standard error of about one point.
    """
    rng = np.random.default_rng(1)
    truth, rows = 0.1, 150
    with_sources = alone = 0
    for sample in range(200):
        by_seed = rng.normal(0, 0.04, seeds)
        by_format = rng.normal(0, 0.03, formats)
        by_row = rng.normal(truth, 0.2, rows)
        noise = rng.normal(0, 0.1, (rows, seeds, formats))
        cells = by_row[:, None, None] + by_seed[:, None] + by_format + noise
        cells = np.clip(cells, -1, 1)
        means = cells.mean(axis=(1, 2)).tolist()
        found = widened(
            means,
            {
                "training seed": cells.mean(axis=(0, 2)).tolist(),
                "prompt format": cells.mean(axis=(0, 1)).tolist(),
            },
            seed=sample,
        ).interval
        plain = difference_interval(means, seed=sample)
        with_sources += found.low <= truth <= found.high
        alone += plain.low <= truth <= plain.high
    assert 0.92 <= with_sources / 200 <= 0.995
    assert alone / 200 < 0.85
