"""Non-inferiority: what passes, what fails, and what cannot be told."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.compare.retention import (
    OVERALL,
    SECTION_LEVEL,
    Pair,
    retained,
    retention_status,
)

MARGIN = 0.05


def pairs(section: str, wins: int, losses: int, n: int) -> list[Pair]:
    """0/1 items: `wins` gained by tuning, `losses` lost, the others right on both sides."""
    gained, lost = [(0.0, 1.0)] * wins, [(1.0, 0.0)] * losses
    alike = [(1.0, 1.0)] * (n - wins - losses)
    return [Pair(section, base, tuned) for base, tuned in gained + lost + alike]


def status(found: list[Pair], failures: int = 0) -> str:
    overall, parts = retained(found, MARGIN)
    return retention_status(overall, parts, failures, len(found))


def test_no_change_passes() -> None:
    assert status(pairs("a", 0, 0, 300)) == "pass"


def test_few_items_cannot_tell() -> None:
    assert status(pairs("a", 2, 2, 30)) == "unknown"


def test_a_shown_loss_beyond_the_margin_fails() -> None:
    assert status(pairs("a", 5, 45, 300)) == "fail"


def test_a_shown_loss_within_the_margin_is_no_failure() -> None:
    overall, _ = retained(pairs("a", 0, 8, 400), MARGIN)
    assert overall.difference.high < 0
    assert overall.status == "pass"


def test_a_section_that_is_lost_fails_the_whole_that_passes() -> None:
    found = pairs("kept", 10, 0, 900) + pairs("lost", 0, 20, 60)
    overall, parts = retained(found, MARGIN)
    assert overall.status == "pass"
    assert [part.status for part in parts] == ["pass", "fail"]
    assert status(found) == "fail"


def test_a_section_that_is_only_uncertain_does_not() -> None:
    found = pairs("kept", 0, 0, 900) + pairs("small", 1, 2, 20)
    assert status(found) == "pass"


def test_sections_are_judged_at_a_higher_level() -> None:
    overall, (part,) = retained(pairs("a", 5, 10, 100), MARGIN)
    assert part.difference.level == SECTION_LEVEL > overall.difference.level
    assert part.difference.low < overall.difference.low
    assert overall.section == OVERALL


def test_an_item_without_an_answer_is_in_no_mean() -> None:
    found = [*pairs("a", 0, 1, 20), Pair("a", 1.0, None), Pair("a", None, None)]
    overall, _ = retained(found, MARGIN)
    assert overall.difference.n == 20
    assert (overall.base, overall.tuned) == (1.0, 0.95)


def test_many_failures_decide_nothing() -> None:
    assert status(pairs("a", 0, 0, 300), failures=16) == "unknown"
    assert status(pairs("a", 5, 45, 300), failures=16) == "unknown"


def test_graded_scores_are_compared_by_their_mean() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.7, 300)
    found = [Pair("a", float(b), float(b - 0.2)) for b in base]
    overall, _ = retained(found, MARGIN)
    assert overall.difference.estimate == pytest.approx(-0.2)
    assert overall.status == "fail"


def test_nothing_measured_is_unknown() -> None:
    overall, parts = retained([], MARGIN)
    assert (overall.base, overall.difference.estimate, parts) == (None, None, ())
    assert retention_status(overall, parts, 0, 0) == "unknown"
