"""Counting as calls stream by comes to the same as looking at all of them at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.store.watching import SideCounts
from trimtab.watch.bets import confidence_sequence
from trimtab.watch.counts import SAMPLED, InputSample, SideCount
from trimtab.watch.seconds import percentile, seconds_of, step_of

from .traffic import START, counts, trace


def sample(inputs, key: str = "a", known=()) -> InputSample:
    found = InputSample(key, known)
    for number, text in enumerate(inputs):
        found.add(trace(START, id=f"{number:028x}", input=text))
    return found


def test_few_inputs_are_all_kept_and_counted() -> None:
    found = sample(["One  two", "one two", "three"] * 5)
    assert found.count == 2
    assert found.sampled == tuple(sorted(found.sampled)), "the smallest hash first"
    assert {int(identity, 16) for _, identity in found.sampled} == {0, 2}, "the first of each"


def test_many_inputs_are_sampled_alike_however_often_they_come() -> None:
    texts = [f"text {i}" for i in range(6000)]
    often = texts[:3000] * 3
    found = sample([*often, *texts])
    assert len(found.sampled) == SAMPLED
    assert found.count == pytest.approx(6000, rel=0.12)
    frequent = sum(int(identity, 16) < 3000 for _, identity in found.sampled)
    assert 430 < frequent < 570
    other = {identity for _, identity in sample(texts, "b").sampled}
    first = {identity for _, identity in sample(texts).sampled}
    assert len(first & other) < 250, "another window's sample is another one"


def test_a_count_goes_on_where_it_was_left() -> None:
    texts = [f"text {i}" for i in range(3000)]
    at_once = sample(texts)
    half = sample(texts[:1500])
    rest = InputSample("a", half.sampled)
    for number, text in enumerate(texts[1500:], start=1500):
        rest.add(trace(START, id=f"{number:028x}", input=text))
    assert rest.sampled == at_once.sampled
    calls = [trace(START, valid=i % 7 > 0, latency_s=0.1 * (i % 5), weight=1.0) for i in range(70)]
    side = SideCount(counts(calls[:30]))
    side.add(calls[30:])
    assert side.known == counts(calls)
    assert SideCount(SideCounts()).known == SideCounts()


@given(st.lists(st.floats(1e-4, 1e4), min_size=1, max_size=60), st.floats(0.01, 0.99))
def test_percentiles_are_at_most_a_step_too_high(seconds, share) -> None:
    steps: dict[int, float] = {}
    for each in seconds:
        steps[step_of(each)] = steps.get(step_of(each), 0.0) + 1.0
    exact = sorted(seconds)[max(0, int(np.ceil(share * len(seconds) - 1e-9)) - 1)]
    found = percentile(steps, share)
    assert exact * (1 - 1e-6) <= found <= exact * 1.0101


def test_without_calls_there_is_no_percentile() -> None:
    assert percentile({}, 0.95) is None
    assert step_of(0.0) == step_of(1e-9)
    assert seconds_of(step_of(2.0)) == pytest.approx(2.0, rel=0.0101)


def test_counted_values_bound_the_mean_as_single_ones_do() -> None:
    values, weights, times = [1.0, 0.0, 1.0], [1.0, 0.25, 0.5], [60, 7, 20]
    single = confidence_sequence(
        np.repeat(values, times).tolist(), np.repeat(weights, times).tolist(), 0.98
    )
    assert confidence_sequence(values, weights, 0.98, times) == pytest.approx(single, abs=1e-9)
