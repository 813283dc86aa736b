"""Known chances for all, and estimates that they make unbiased."""

from __future__ import annotations

import random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.review.draw import draw, probabilities

REASONS = st.lists(
    st.sets(st.sampled_from(["invalid", "feedback", "unlikely"])).map(
        lambda names: dict.fromkeys(sorted(names), "")
    ),
    min_size=1,
    max_size=60,
)


@given(REASONS, st.floats(1, 100), st.floats(0.1, 1))
def test_nobody_is_left_without_a_chance(reasons, wanted, share) -> None:
    chances = probabilities(reasons, wanted, share)
    assert all(0 < chance <= 1 for chance in chances)
    assert sum(chances) <= wanted + 1e-6


def test_without_reasons_all_have_the_same_chance() -> None:
    assert probabilities([{}] * 200, 50, 0.3) == pytest.approx([0.25] * 200)


def test_a_rare_reason_weighs_more_than_a_common_one() -> None:
    reasons = [{"invalid": ""}] * 90 + [{"feedback": ""}] * 10 + [{}] * 900
    chances = probabilities(reasons, 50, 0.5)
    common, rare, plain = chances[0], chances[90], chances[-1]
    assert plain == pytest.approx(0.025)
    assert common == pytest.approx(0.025 + 12.5 / 90)
    assert rare == 1.0
    assert sum(chances) < 50


def test_what_is_drawn_more_often_does_not_bend_the_estimate() -> None:
    """Answers with a reason are mostly wrong here, so the plain mean of what is reviewed is far
    too low; divided by the chances, it is right."""
    rng = random.Random(1)
    reasons = [{"unlikely": ""} if i % 10 == 0 else {} for i in range(1000)]
    scores = [0.2 if each else 0.95 for each in reasons]
    truth = fmean(scores)
    plain, weighted = [], []
    for _ in range(300):
        drawn = draw(reasons, 100, 0.5, rng)
        plain.append(fmean(scores[d.place] for d in drawn))
        weighted.append(sum(scores[d.place] / d.probability for d in drawn) / 1000)
    assert fmean(weighted) == pytest.approx(truth, abs=0.01)
    assert fmean(plain) < truth - 0.2


def test_the_order_tells_nothing() -> None:
    """Whoever stops after the first ten has them from all over the frame."""
    rng = random.Random(2)
    firsts = [d.place for _ in range(200) for d in draw([{}] * 100, 50, 1, rng)[:10]]
    assert fmean(firsts) == pytest.approx(49.5, abs=4)


def test_the_gravest_reason_is_named() -> None:
    drawn = draw([{"invalid": "x", "unlikely": "y"}, {}], 1000, 0.5, random.Random(3))
    assert {d.place: d.reason for d in drawn} == {0: "invalid", 1: "random"}
