"""The table of labels and its macro-F1."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.compare.labels import label_table
from trimtab.types import Scored

LABELS = ("a", "b", "None")


def table(pairs, clusters=None):
    """From (target, answer) pairs; an answer of None is invalid."""
    outcomes = {
        str(i): Scored(metrics={}, valid=answer is not None, parsed=answer)
        for i, (_, answer) in enumerate(pairs)
    }
    targets = {str(i): target for i, (target, _) in enumerate(pairs)}
    return label_table(outcomes, targets, LABELS, clusters)


def test_a_table_by_hand():
    pairs = [("a", "a")] * 6 + [("a", "b")] * 2 + [("b", "b")] * 1 + [("b", None)] * 1
    found = table(pairs)
    assert found.counts == ((6, 2, 0, 0), (0, 1, 0, 1), (0, 0, 0, 0))
    assert found.f1 == (pytest.approx(12 / 14), pytest.approx(2 / 5), None)
    assert found.macro_f1.estimate == pytest.approx((12 / 14 + 2 / 5) / 2)
    assert found.macro_f1.n == 10
    assert found.macro_f1.low < found.macro_f1.estimate < found.macro_f1.high


def test_an_invalid_answer_is_no_label_that_looks_like_it():
    assert table([("None", None), ("None", "None")]).counts[2] == (0, 0, 1, 1)


def test_always_the_frequent_label_scores_well_in_accuracy_only():
    found = table([("a", "a")] * 95 + [("b", "a")] * 5)
    assert found.macro_f1.estimate == pytest.approx((190 / 195) / 2)


def test_one_cluster_has_no_bounds():
    found = table([("a", "a"), ("a", "b")], ["x", "x"])
    assert found.macro_f1.estimate is not None
    assert (found.macro_f1.low, found.macro_f1.high) == (None, None)


@given(
    st.lists(
        st.tuples(st.sampled_from(LABELS), st.sampled_from((*LABELS, None))),
        min_size=1,
        max_size=20,
    )
)
def test_scores_are_those_of_precision_and_recall(pairs):
    found = table(pairs)
    assert np.array(found.counts).sum() == len(pairs)
    for label, score in zip(LABELS, found.f1, strict=True):
        right = sum(pair == (label, label) for pair in pairs)
        asked, answered = (sum(pair[side] == label for pair in pairs) for side in (0, 1))
        if asked + answered == 0:
            assert score is None
            continue
        precision, recall = (right / n if n else 0 for n in (answered, asked))
        mean = 2 * precision * recall / (precision + recall) if right else 0
        assert score == pytest.approx(mean)
    known = [score for score in found.f1 if score is not None]
    assert found.macro_f1.estimate == pytest.approx(sum(known) / len(known))
