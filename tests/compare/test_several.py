import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.compare.intervals import difference_interval
from trimtab.compare.layouts import components
from trimtab.compare.several import Spread, holm, over_draws, widened
from trimtab.types import Comparison, Interval


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


ROWS = Interval(estimate=0.15, low=0.08, high=0.23, n=60, method="bootstrap-t")


def test_without_further_sources_it_is_the_interval_of_the_rows():
    found = widened(ROWS, {})
    assert found.interval == ROWS
    assert (found.halves, found.unknown) == ({}, ())


def test_sources_are_joined_by_hand():
    """Student's quantile with two degrees of freedom, 4.303, times 0.01; with six, 2.447."""
    found = widened(ROWS, {"training seed": Spread(3, 0.01), "prompt layout": Spread(7, 0.02)})
    assert found.halves == pytest.approx(
        {"training seed": 0.04303, "prompt layout": 0.04894}, abs=1e-4
    )
    both = np.hypot(0.04303, 0.04894)
    assert found.interval.estimate == 0.15
    assert found.interval.low == pytest.approx(0.15 - np.hypot(0.07, both), abs=1e-4)
    assert found.interval.high == pytest.approx(0.15 + np.hypot(0.08, both), abs=1e-4)
    assert found.interval.method == "bootstrap-t; widened by training seed and prompt layout"


@pytest.mark.parametrize("spread", [Spread(2, 0.1), Spread(1, None), Spread(5, None)])
def test_a_source_that_tells_nothing_is_unknown_and_not_zero(spread):
    found = widened(ROWS, {"training seed": spread, "prompt layout": Spread(5, 0.0)})
    assert found.unknown == ("training seed",)
    assert found.halves == {"prompt layout": 0.0}
    assert found.interval.low == pytest.approx(ROWS.low)


def test_bounds_stay_in_range_and_what_has_none_gets_none():
    assert widened(ROWS, {"seed": Spread(3, 0.5)}).interval.high == 1.0
    without = ROWS.model_copy(update={"low": None, "high": None})
    assert widened(without, {"seed": Spread(3, 0.1)}).interval == without


def test_a_comparison_keeps_what_the_rows_alone_say():
    plain = comparison(0.15, p_value=0.0001)
    found = over_draws(plain, {"prompt layout": Spread(7, 0.05), "training seed": Spread(1, None)})
    assert found.rows_alone == plain.difference
    assert found.difference.low < plain.difference.low
    assert found.not_in_interval == ("training seed",)
    assert 0.0001 < found.p_value < 1
    alone = over_draws(plain, {"training seed": Spread(1, None)})
    assert (alone.rows_alone, alone.difference, alone.p_value) == (None, plain.difference, 0.0001)


@given(st.floats(-0.5, 0.5), st.floats(0, 0.3))
def test_the_p_value_agrees_with_the_interval(estimate, deviation):
    """At most 5% exactly where the widened interval leaves 0 out."""
    found = over_draws(comparison(estimate, p_value=0.0), {"seed": Spread(5, deviation)})
    excluded = found.difference.low > 0 or found.difference.high < 0
    if abs(found.p_value - 0.05) > 1e-6:
        assert (found.p_value < 0.05) == excluded


def comparison(estimate, p_value):
    return Comparison(
        a="a",
        b="b",
        metric="m",
        n=100,
        difference=Interval(
            estimate=estimate, low=estimate - 0.07, high=estimate + 0.07, n=100, method="test"
        ),
        test="test",
        p_value=p_value,
        smallest_detectable=0.1,
        wins=40,
        losses=20,
        ties=40,
        failures_a=0,
        failures_b=0,
    )


@pytest.mark.parametrize(("seeds", "layouts"), [(3, 7), (5, 10)])
def test_seeds_and_layouts_in_the_interval_cover(seeds, layouts):
    """Nominal 95% for the mean over all rows, seeds and layouts, measured under one of each; their
    spreads come from other, fewer rows. Rows alone hold it far less often.

    300 samples: a standard error of about one point.
    """
    rng = np.random.default_rng(1)
    truth, samples = 0.1, 300
    with_sources = alone = 0
    for sample in range(samples):
        by_seed, by_layout = rng.normal(0, 0.04, seeds), rng.normal(0, 0.03, layouts)
        test = rng.normal(truth, 0.22, 150) + by_seed[0] + by_layout[0]
        rows = difference_interval(np.clip(test, -1, 1).tolist(), seed=sample)
        dev = {
            "seed": rng.normal(0.5, 0.2, 40) + by_seed[:, None] + rng.normal(0, 0.15, (seeds, 40)),
            "layout": rng.normal(0.5, 0.2, 20)
            + by_layout[:, None]
            + rng.normal(0, 0.15, (layouts, 20)),
        }
        spreads = {
            name: Spread(len(table), components(table).source ** 0.5) for name, table in dev.items()
        }
        found = widened(rows, spreads).interval
        with_sources += found.low <= truth <= found.high
        alone += rows.low <= truth <= rows.high
    assert 0.9 <= with_sources / samples <= 0.995
    assert alone / samples < 0.8


def test_the_p_of_rows_alone_is_kept_beside_the_widened_one():
    plain = comparison(0.1, p_value=0.001)
    wide = over_draws(plain, {"training seed": Spread(3, 0.2)})
    assert wide.rows_alone_p == 0.001 < wide.p_value
    assert over_draws(plain, {"training seed": Spread(2, 0.2)}).rows_alone_p is None
