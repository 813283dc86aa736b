"""How far a prompt's quality hangs on its layout, apart from the luck of few rows."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.compare.layouts import components, sensitivity


def test_layouts_that_differ_alike_on_every_row_have_the_variance_of_their_means() -> None:
    rows = np.array([0.2, 0.5, 0.9])
    table = rows + np.array([[0.0], [0.1], [0.05]])
    assert components(table).source == pytest.approx(np.var([0.0, 0.1, 0.05], ddof=1))


def test_noise_of_the_rows_is_no_variance_of_layouts() -> None:
    rng = np.random.default_rng(0)
    found = [components((rng.random((10, 40)) < 0.5).astype(float)).source for _ in range(300)]
    # Without the correction it would be 0.25 / 40 on average.
    assert np.mean(found) < 0.25 / 40 / 3
    shifted = [
        components((rng.random((10, 40)) < rng.normal(0.5, 0.1, (10, 1))).astype(float)).source
        for _ in range(300)
    ]
    assert np.mean(shifted) == pytest.approx(0.01, rel=0.15)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (0, 0)])
def test_too_little_says_nothing(shape) -> None:
    assert components(np.zeros(shape)) is None


def test_rows_layouts_and_the_rest_are_told_apart() -> None:
    """Known variances: rows 0.04, layouts 0.01, each row in each layout 0.0025."""
    rng = np.random.default_rng(1)
    found = [
        components(
            rng.normal(0, 0.2, 30) + rng.normal(0, 0.1, (8, 1)) + rng.normal(0, 0.05, (8, 30))
        )
        for _ in range(300)
    ]
    assert np.mean([each.row for each in found]) == pytest.approx(0.04, rel=0.1)
    assert np.mean([each.source for each in found]) == pytest.approx(0.01, rel=0.15)
    assert np.mean([each.rest for each in found]) == pytest.approx(0.0025, rel=0.05)


def test_a_row_counts_only_where_every_layout_answered_it() -> None:
    found = sensitivity(
        {
            "plain": {"a": 1.0, "b": 0.0, "c": 1.0},
            "question": {"a": 0.0, "b": 0.0, "c": None},
        },
        planned=10,
    )
    assert found.rows == 2
    assert [(each.style, each.quality) for each in found.layouts] == [
        ("plain", 0.5),
        ("question", 0.0),
    ]
    assert (found.mean, found.worst, found.planned) == (0.25, 0.0, 10)


def test_no_shared_row_leaves_all_undefined() -> None:
    found = sensitivity({"plain": {"a": None}, "question": {"a": 1.0}}, planned=2)
    assert (found.rows, found.mean, found.worst, found.spread) == (0, None, None, None)
