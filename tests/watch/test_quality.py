"""The floor, the weights of drawn calls, and when a fall of quality is called."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.types import Interval
from trimtab.watch.quality import find_floor, live_quality, quality, weights

from .traffic import START, call


def interval(estimate: float, low: float) -> Interval:
    return Interval(estimate=estimate, low=low, high=1.0, n=300, method="a test")


def test_the_floor_lies_below_what_the_sealed_test_can_tell() -> None:
    wide, narrow = interval(0.95, 0.90), interval(0.95, 0.94)
    assert find_floor(wide, 0.03, None).value == pytest.approx(0.90)
    assert find_floor(narrow, 0.03, None).value == pytest.approx(0.92)
    assert find_floor(wide, 0.03, 0.8).value == 0.8
    assert find_floor(None, 0.03, None) is None
    assert find_floor(interval(0.02, 0.01), 0.03, None) is None


def test_a_fall_below_the_floor_is_called_and_a_good_run_is_not() -> None:
    rng = np.random.default_rng(0)
    floor = find_floor(interval(0.95, 0.93), 0.02, None)
    fallen = [call(i, float(rng.random() < 0.8)) for i in range(200)]
    good = [call(i, float(rng.random() < 0.95)) for i in range(200)]
    found = quality(fallen, START, floor)
    assert found.state == "alarm"
    assert found.figures["evidence"] >= 1
    assert "below the floor of 0.930" in found.message
    assert quality(good, START, floor).state == "quiet"


def test_what_was_drawn_for_a_reason_does_not_make_a_fall() -> None:
    """Half of the reviews are of calls that looked wrong, and nearly all of those are wrong."""
    rng = np.random.default_rng(1)
    floor = find_floor(interval(0.95, 0.93), 0.02, None)
    odd = [call(2 * i, 0.0, probability=1.0) for i in range(60)]
    usual = [call(2 * i + 1, float(rng.random() < 0.97), probability=0.02) for i in range(60)]
    assert quality([*odd, *usual], START, floor).state == "quiet"
    unweighted = [each.model_copy(update={"probability": 1.0}) for each in (*odd, *usual)]
    assert quality(unweighted, START, floor).state == "alarm"


def test_each_draw_is_weighed_by_itself() -> None:
    calls = [call(0, 1, 0.5, 1), call(1, 1, 0.1, 1), call(2, 1, 0.01, 2), call(3, 1, 1.0, 2)]
    assert weights(calls).tolist() == pytest.approx([0.2, 1.0, 1.0, 0.01])
    with pytest.raises(ValueError, match="probability"):
        weights([call(0, 1, 0.0)])


def test_calls_from_before_the_restart_count_no_more() -> None:
    floor = find_floor(interval(0.95, 0.93), 0.02, None)
    early = [call(i - 1000, 0.0) for i in range(100)]
    late = [call(i, 1.0) for i in range(20)]
    assert quality([*early, *late], START, floor).state == "quiet"
    assert quality(early, START, floor).state == "unknown"


def test_what_is_unknown_stays_unknown() -> None:
    assert quality([call(0, 1.0)], START, None).state == "unknown"
    nothing = live_quality([])
    assert (nothing.estimate, nothing.low, nothing.high, nothing.n) == (None, None, None, 0)


def test_live_quality_has_bounds_from_the_first_review_on() -> None:
    found = live_quality([call(i, 1.0) for i in range(30)])
    assert found.estimate == 1.0
    assert found.low is not None
    assert 0.5 < found.low < 0.95
    assert found.high == pytest.approx(1.0)
