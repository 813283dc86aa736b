"""What the benchmark of looks decides, on rows whose answer is plain."""

import numpy as np
import pytest
from benchmarks import sequential

ROWS = 600


def test_fixed_rows_are_those_of_the_formula():
    rows = sequential.fixed_rows(sequential.KINDS["15%"][1])
    variance = 0.15 - sequential.LEAST**2
    assert rows == pytest.approx(2.8016**2 * variance / sequential.LEAST**2, rel=0.01)


@pytest.mark.parametrize("kind", sequential.KINDS)
@pytest.mark.parametrize("gain", sequential.GAINS.values())
def test_rows_have_the_gain_that_is_asked_for(kind, gain):
    before, after = sequential.KINDS[kind][1](200_000, gain, np.random.default_rng(0))
    assert (after - before).mean() == pytest.approx(gain, abs=0.004)
    assert before.min() >= 0 and before.max() <= 1
    assert after.min() >= 0 and after.max() <= 1


def test_a_wide_gain_is_called_better_with_few_rows():
    before = np.zeros(ROWS)
    found = sequential.decision(before, before + 1, 1.0)
    assert (found.better, found.rows, found.held) == (True, 100, True)


def test_equal_rows_are_not_called_better():
    before = np.arange(ROWS) % 2 * 1.0
    found = sequential.decision(before, before, 0.0)
    assert (found.better, found.held) == (False, True)
    assert sequential.rows_until(before, before) == [np.inf] * 3
