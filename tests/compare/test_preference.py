"""Choices between two variants' answers as a comparison."""

import pytest

from trimtab.compare.preference import preference


def test_wins_losses_and_ties_are_counted_and_unread_rows_are_failures():
    choices = {"1": 1.0, "2": 1.0, "3": -1.0, "4": 0.0, "5": None}
    found = preference("a", "b", choices)
    assert (found.wins, found.losses, found.ties, found.n) == (2, 1, 1, 4)
    assert found.failures_a == found.failures_b == 1
    assert found.difference.estimate == pytest.approx(0.25)
    assert found.p_value == 1
    assert found.test == "exact McNemar"


def test_a_clear_preference_is_seen():
    choices = {str(i): 1.0 if i < 20 else -1.0 if i < 22 else 0.0 for i in range(40)}
    found = preference("a", "b", choices)
    assert found.difference.low > 0
    assert found.p_value < 0.001


def test_rows_of_one_cluster_are_one_voice():
    choices = {str(i): 1.0 for i in range(20)}
    apart = preference("a", "b", choices)
    together = preference("a", "b", choices, {str(i): str(i % 4) for i in range(20)})
    assert together.p_value > apart.p_value
    assert together.difference.low < apart.difference.low


def test_nothing_read_is_unknown():
    found = preference("a", "b", {"1": None})
    assert found.n == 0
    assert found.difference.estimate is None
    assert found.p_value is None
