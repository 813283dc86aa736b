"""What stays the same when the same is asked again, by hand; and what moves the scores."""

from __future__ import annotations

import numpy as np
import pytest

from trimtab.compare.consistency import Asked, Told, consistency, kept_shares, told

from .factories import answer, failure, variant


def says(**answers: str | None) -> dict[str, Told]:
    """Answers by row; "a" is right."""
    return {row: Told(text, float(text == "a")) for row, text in answers.items()}


def asked(arm: str, first: dict, **varied: dict) -> Asked:
    return Asked(variant(arm, arm), first, varied, first)


def arm_of(found, arm: str):
    return next(each for each in found.arms if each.arm == arm)


FIRST = says(x="a", y="a", z="b")
SAMPLES = {"sample 1": says(x="a", y="b", z="b"), "sample 2": says(x="a", y="a", z="c")}


def test_kept_shares_by_hand() -> None:
    assert kept_shares(FIRST, SAMPLES) == {"x": 1.0, "y": 0.5, "z": 0.5}


def test_a_broken_answer_agrees_with_nothing_and_a_failed_one_counts_nowhere() -> None:
    first = says(x=None, y="a")
    again = {"one": says(x=None, y="a"), "two": says(x="a")}
    assert kept_shares(first, again) == {"x": 0.0, "y": 1.0}
    assert kept_shares(says(y="a"), {"one": {}}) == {}


def test_a_source_tells_its_flips_its_worst_case_and_its_variations() -> None:
    found = consistency([asked("prompt", FIRST, sample=SAMPLES)], of=7, clusters={})
    (arm,) = found.arms
    (source,) = arm.sources
    assert (found.rows, found.of, found.compared, found.difference) == (3, 7, ("sample",), None)
    assert source.kept.estimate == arm.kept.estimate == pytest.approx(2 / 3)
    assert [(v.name, v.rows, v.kept) for v in source.variations] == [
        ("sample 1", 3, pytest.approx(2 / 3)),
        ("sample 2", 3, pytest.approx(2 / 3)),
    ]
    assert [v.quality for v in source.variations] == pytest.approx([1 / 3, 2 / 3])
    assert source.worst == pytest.approx(1 / 3)
    assert arm.worst_answer == pytest.approx(1 / 3)  # x is always right; y once wrong; z never


def test_sources_count_alike_whatever_their_number_of_variations() -> None:
    one = asked("prompt", says(x="a"), sample={str(i): says(x="a") for i in range(5)})
    both = Asked(one.variant, one.first, {**one.varied, "input": {"case": says(x="b")}}, one.first)
    found = consistency([both], of=1, clusters={})
    assert found.arms[0].kept.estimate == 0.5


def test_the_difference_is_paired_over_the_sources_that_both_have() -> None:
    rows = [f"r{i}" for i in range(40)]
    same = {row: Told("a", 1.0) for row in rows}
    flips = {row: Told("b" if i % 2 else "a", 1.0) for i, row in enumerate(rows)}
    prompt = asked("prompt", same, sample={"1": flips}, format={"lines": flips})
    tuned = asked("fine-tune", same, sample={"1": same})
    found = consistency([prompt, tuned], of=40, clusters={})
    assert found.compared == ("sample",)
    assert found.difference.estimate == 0.5
    assert 0.3 < found.difference.low < 0.5 < found.difference.high
    assert found.p_value < 0.001
    assert [each.source for each in arm_of(found, "prompt").sources] == ["sample", "format"]


def test_rows_of_one_cluster_are_evidence_once() -> None:
    rows = [f"r{i}" for i in range(40)]
    same = {row: Told("a", 1.0) for row in rows}
    flips = {row: Told("b" if i % 2 else "a", 1.0) for i, row in enumerate(rows)}
    arms = [
        asked("prompt", same, sample={"1": flips}),
        asked("fine-tune", same, sample={"1": same}),
    ]
    pairs = {row: f"c{i // 4}" for i, row in enumerate(rows)}
    alone, together = (consistency(arms, 40, clusters) for clusters in ({}, pairs))
    assert together.p_value > alone.p_value


def test_only_one_row_leaves_the_difference_without_bounds() -> None:
    one = says(x="a")
    arms = [asked(arm, one, sample={"1": one}) for arm in ("prompt", "fine-tune")]
    assert consistency(arms, 1, {}).difference.low is None


def test_nothing_varied_for_both_is_no_measurement() -> None:
    assert consistency([], 5, {}) is None
    assert consistency([asked("prompt", FIRST)], 5, {}) is None
    arms = [asked("prompt", FIRST, sample=SAMPLES), asked("fine-tune", FIRST)]
    assert consistency(arms, 5, {}) is None


def test_seeds_are_shown_and_not_compared() -> None:
    tuned = asked("fine-tune", FIRST, sample=SAMPLES, seed={"seed 1": SAMPLES["sample 1"]})
    found = consistency([tuned], 3, {})
    assert found.compared == ("sample",)
    assert [each.source for each in found.arms[0].sources] == ["sample", "seed"]
    assert found.arms[0].kept.estimate == pytest.approx(2 / 3)


def test_the_variance_of_a_score_is_split_by_what_moves_it() -> None:
    """Known: rows 0.04; a layout 0.01 on all rows and 0.0025 on each; a sample 0.0009."""
    rng = np.random.default_rng(0)
    split = []

    def scored(values):
        return {f"r{i}": Told("a", float(value)) for i, value in enumerate(values)}

    for _ in range(60):
        first = rng.normal(0.5, 0.2, 60)
        formats = {
            str(k): scored(first + rng.normal(0, 0.1) + rng.normal(0, 0.05, 60)) for k in range(9)
        }
        drawn = {str(k): scored(first + rng.normal(0, 0.03, 60)) for k in range(5)}
        found = consistency([asked("prompt", scored(first), sample=drawn, format=formats)], 60, {})
        split.append(found.arms[0].variance)
    mean = {name: np.mean([each[name] for each in split]) for name in split[0]}
    assert mean["row"] == pytest.approx(0.04, rel=0.1)
    assert mean["sample"] == pytest.approx(0.0009, rel=0.1)
    # The first answer is one more variation, at none of the shifts: 9 of 10 vary.
    assert mean["format"] == pytest.approx(0.0125 * 0.9, rel=0.2)


def test_a_loose_comparison_is_blind_to_case_and_spaces_only() -> None:
    records = [answer("x", {"m": 1.0}, parsed={"city": "New  York"})]
    other = [answer("x", {"m": 0.0}, parsed={"city": "new york"})]
    wrong = [answer("x", {"m": 0.0}, parsed={"city": "newyork"})]
    keys = [told(each, "m", loose=True)["x"].says for each in (records, other, wrong)]
    assert keys[0] == keys[1] != keys[2]
    assert told(records, "m")["x"].says != told(other, "m")["x"].says


def test_what_was_not_judged_is_not_told_and_what_is_no_longer_right_has_no_score() -> None:
    records = [failure("x"), answer("y", {"m": 1.0}), answer("z", {"m": 1.0}, valid=False)]
    found = told(records, "m", unscored={"y"})
    assert "x" not in found
    assert (found["y"].score, found["z"].score) == (None, 1.0)
    assert found["z"].says is None


def test_a_row_whose_varied_answers_all_failed_has_its_first_one_as_the_worst() -> None:
    found = consistency([asked("prompt", says(x="a"), sample={"one": {}})], of=1, clusters={})
    assert found.arms[0].worst_answer == 1.0
