"""What the last part of a search bought: known answers, and the luck of many tries."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.compare.plateau import plateau

ROWS = [f"row {i}" for i in range(60)]


def scored(values) -> dict[str, float | None]:
    return dict(zip(ROWS, values, strict=False))


def mixed(mean: float, n: int = 60, shift: int = 0) -> list[float]:
    return [1.0 if ((i + shift) * 7) % n < mean * n else 0.0 for i in range(n)]


def judged(tables, spent, total=100.0, least=0.03, **rest):
    return plateau([scored(t) for t in tables], spent, total, least, **rest)


def test_a_winner_that_nothing_later_beats_on_any_row_ends_the_search() -> None:
    found = judged([mixed(0.3), mixed(0.8), mixed(0.2)], [10, 30, 100])
    assert found.state == "exhausted"
    assert (found.gain.estimate, found.gain.low, found.gain.high) == (0.0, 0.0, 0.0)
    assert found.statement == (
        "the last 60% of what the search used bought nothing, whichever dev rows one judges by: "
        "exhausted"
    )


def test_a_clear_gain_at_the_end_is_still_rising() -> None:
    found = judged([mixed(0.3), mixed(0.8)], [10, 90])
    assert found.state == "rising"
    assert found.gain.estimate == pytest.approx(0.5, abs=0.02)
    assert found.gain.low > 0.03
    assert "still rising" in found.statement


def test_a_gain_smaller_than_what_matters_is_exhausted() -> None:
    base = [0.5] * 60
    later = [0.5 + 0.01 * (i % 3) for i in range(60)]
    assert judged([base, later], [10, 90]).state == "exhausted"


def test_a_small_noisy_gain_cannot_be_told() -> None:
    found = judged([mixed(0.5), mixed(0.55, shift=3)], [10, 90])
    assert found.state == "unclear"
    assert found.gain.low < 0 < found.gain.high


def test_where_the_last_part_begins_decides() -> None:
    tables = [mixed(0.3), mixed(0.8)]
    assert judged(tables, [10, 40]).state == "exhausted"
    assert judged(tables, [10, 40.1]).state == "rising"


@pytest.mark.parametrize("tables", [[], [mixed(0.5)]])
def test_without_an_early_prompt_nothing_can_be_told(tables) -> None:
    found = judged(tables, [50.0] * len(tables))
    assert found.state == "unclear"
    assert found.gain.estimate is None


def test_with_a_prompt_ahead_that_did_not_end_nothing_can_be_told() -> None:
    best = {f"r{i}": 0.6 for i in range(40)}
    worse = {f"r{i}": 0.5 for i in range(40)}
    scores, spent = [best, worse, worse], [1.0, 5.0, 10.0]
    assert plateau(scores, spent, 10.0, 0.03).state == "exhausted"
    found = plateau(scores, spent, 10.0, 0.03, unfinished="8 nearest")
    assert found.state == "unclear"
    assert "8 nearest was ahead" in found.statement


def test_prompts_whose_calls_fail_are_no_choice() -> None:
    flattering = [1.0] * 30 + [None] * 30
    assert judged([mixed(0.5), flattering], [10, 90]).state == "exhausted"


def test_a_single_failure_is_left_out_and_not_a_zero() -> None:
    found = judged([mixed(0.3), [None, *mixed(0.8)[1:]]], [10, 90])
    assert found.state == "rising"
    assert found.gain.estimate == pytest.approx(0.5, abs=0.03)


def test_rows_of_one_cluster_are_one() -> None:
    tables, spent = [mixed(0.4), mixed(0.6, shift=2)], [10, 90]
    clusters = {row: f"c{i // 10}" for i, row in enumerate(ROWS)}
    alone, together = judged(tables, spent), judged(tables, spent, clusters=clusters)
    width = [f.gain.high - f.gain.low for f in (alone, together)]
    assert width[1] > width[0] * 0.9
    assert judged(tables, spent, clusters=dict.fromkeys(ROWS, "one")).state == "unclear"


@pytest.mark.parametrize("later", [1, 10])
def test_many_equal_tries_are_no_gain(later) -> None:
    """The best of many is higher by luck alone; that must not count as rising."""
    rng = np.random.default_rng(later)
    rising = 0
    for seed in range(60):
        hard = rng.random(60)
        tables = [
            (rng.random(60) < 0.25 + 0.5 * hard).astype(float).tolist() for _ in range(1 + later)
        ]
        spent = [40, *np.linspace(50, 100, later)]
        rising += judged(tables, spent, seed=seed).state == "rising"
    assert rising <= 6
