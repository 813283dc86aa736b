"""Agreement of two graders: known answers, undefined cases, coverage."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.compare.kappa import weighted_kappa


def by_table(pairs, grades):
    """Cohen's kappa with quadratic weights, straight from its definition."""
    table = np.zeros((grades, grades))
    for one, other in pairs:
        table[one - 1, other - 1] += 1
    table /= table.sum()
    expected = np.outer(table.sum(axis=1), table.sum(axis=0))
    weights = np.subtract.outer(np.arange(grades), np.arange(grades)) ** 2
    return 1 - (weights * table).sum() / (weights * expected).sum()


def test_two_grades_are_cohens_own_example_by_hand():
    """20 and 15 alike, 5 and 10 apart: observed .7, expected .5."""
    pairs = [(1, 1)] * 20 + [(1, 2)] * 5 + [(2, 1)] * 10 + [(2, 2)] * 15
    found = weighted_kappa(pairs)
    assert found.estimate == pytest.approx(0.4)
    assert found.n == 50
    assert found.low < 0.4 < found.high


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=30))
def test_it_is_the_kappa_of_the_table(pairs):
    found = weighted_kappa(pairs)
    if len({grade for pair in pairs for grade in pair}) == 1:
        assert (found.estimate, found.low, found.high) == (None, None, None)
    else:
        assert found.estimate == pytest.approx(by_table(pairs, 4))
        assert found.low <= found.high


def test_full_agreement_is_1_and_one_grade_for_all_is_0():
    assert weighted_kappa([(g, g) for g in (1, 2, 3, 4, 5)] * 8).estimate == 1
    lazy = weighted_kappa([(g, 3) for g in (1, 2, 3, 4, 5)] * 8)
    assert lazy.estimate == pytest.approx(0)
    assert lazy.high < 0.4


def test_without_reviews_nothing_is_known():
    assert weighted_kappa([]).model_dump()["estimate"] is None
    alone = weighted_kappa([(1, 2)])
    assert (alone.low, alone.high) == (None, None)


def test_answers_to_one_input_are_not_independent():
    pairs = [(1, 1), (2, 2), (3, 1), (5, 4), (4, 4), (1, 3)] * 10
    apart = weighted_kappa(pairs)
    together = weighted_kappa(pairs, [str(i % 6) for i in range(60)])
    assert together.estimate == pytest.approx(apart.estimate)
    assert together.high - together.low > apart.high - apart.low


def test_the_lower_bound_is_rarely_above_the_truth():
    """What the gate rests on: 50 reviews of a grader whose kappa is 0.4."""
    rng = np.random.default_rng(0)
    weights = np.array([0.2] * 5)
    truth, rounds, above = 0.4, 200, 0

    def draw(n):
        people = rng.choice(5, n, p=weights) + 1.0
        copies = rng.random(n) < truth
        return people, np.where(copies, people, rng.choice(5, n, p=weights) + 1.0)

    for _ in range(rounds):
        people, model = draw(50)
        found = weighted_kappa(list(zip(people, model, strict=True)))
        above += found.low > truth
    assert above / rounds <= 0.06
