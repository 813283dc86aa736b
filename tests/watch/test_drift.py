"""Two windows: alike, or clearly not."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from trimtab.types import OutputContract
from trimtab.watch.drift import (
    ALPHA_INPUTS,
    OTHER,
    input_drift,
    kind_of_answer,
    mix,
    output_mix,
    window_alpha,
)

from .traffic import OTHERS, SCREENS, week_of_calls


def inputs(seed: int, words=SCREENS, calls: int = 150) -> list[str]:
    rng = np.random.default_rng(seed)
    return [each.input for each in week_of_calls(0, rng, calls=calls, words=words)]


def test_other_inputs_raise_an_alarm_and_like_ones_do_not() -> None:
    assert input_drift(inputs(0), inputs(1, OTHERS), 7, 0).state == "alarm"
    alike = input_drift(inputs(0), inputs(1), 7, 0)
    assert alike.state == "quiet"
    assert alike.figures["auc"] == pytest.approx(0.5, abs=0.1)


def test_a_part_of_the_inputs_is_enough() -> None:
    mixed = inputs(1, calls=75) + inputs(2, OTHERS, calls=75)
    found = input_drift(inputs(0), mixed, 7, 0)
    assert found.state == "alarm"
    assert found.figures["p_value"] <= window_alpha(ALPHA_INPUTS, 7)


def test_the_chance_of_half_a_year_is_shared_among_its_windows() -> None:
    assert 26 * window_alpha(0.005, 7) == pytest.approx(0.005)
    assert window_alpha(0.005, 400) == 0.005


def test_false_alarms_of_the_permutation_test_keep_to_alpha() -> None:
    """With a large alpha, as if a window were half a year: p values are at most uniform."""
    reached = sum(
        output_mix(dict(zip("ab", row, strict=True)), {"a": 50, "b": 50}, 7, seed).figures[
            "p_value"
        ]
        <= 0.1
        for seed, row in enumerate(
            np.random.default_rng(0).multinomial(100, (0.5, 0.5), 200).tolist()
        )
    )
    assert reached <= 200 * 0.1 + 3 * (200 * 0.09) ** 0.5


def test_a_moved_mix_raises_an_alarm_unless_it_moved_little() -> None:
    before = {"person": 500, "company": 500}
    assert output_mix(before, {"person": 350, "company": 650}, 7, 0).state == "alarm"
    assert output_mix(before, {"person": 480, "company": 520}, 7, 0).state == "quiet"
    little = output_mix(
        {"person": 50_000, "company": 50_000}, {"person": 46_000, "company": 54_000}, 7, 0
    )
    assert little.state == "quiet", "significant, and too small to matter"
    assert little.figures["p_value"] < 0.001
    assert output_mix(before, {}, 7, 0).state == "unknown"


def test_a_new_kind_of_answer_is_named() -> None:
    found = output_mix({"person": 100}, {"person": 60, "company": 40}, 7, 0)
    assert found.state == "alarm"
    assert "'company' from 0% to 40%" in found.message or "'person'" in found.message


def test_kinds_of_answers() -> None:
    labels = OutputContract(kind="label", labels=("a", "b"))
    fields = OutputContract(kind="json", json_schema={"properties": {"a": {}, "b": {}}})
    text = OutputContract(kind="text")
    assert kind_of_answer(labels, " a ", "a") == "a"
    assert kind_of_answer(fields, "", {"b": 1, "a": "x", "c": None, "d": ""}) == "a,b"
    assert kind_of_answer(fields, "", {"b": 1, "anna@example.org": 2}) == f"{OTHER},b"
    assert kind_of_answer(text, "x" * 9, "") == kind_of_answer(text, "x" * 15, "")
    assert kind_of_answer(text, "x" * 9, "") != kind_of_answer(text, "x" * 16, "")


def test_rare_kinds_are_counted_together() -> None:
    counted = mix(Counter({f"k{i}": 100 - i for i in range(80)}))
    assert len(counted) == 51
    assert sum(counted.values()) == sum(100 - i for i in range(80))
    assert OTHER in counted
