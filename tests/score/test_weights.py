"""Fields that count for more than others."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.score.fields import from_contract
from trimtab.task.spec import FieldScoring, Scoring
from trimtab.types import OutputContract

ANY_JSON = OutputContract(kind="json", schema={"type": "object"})


def score(answer, target, **weights):
    named = {path.replace("__", "."): FieldScoring(weight=w) for path, w in weights.items()}
    scorer = from_contract(ANY_JSON, Scoring(fields=named))
    return scorer(json.dumps(answer), json.dumps(target)).metrics


def test_a_row_by_hand():
    target = {"number": "12", "street": "Main", "city": "Ames"}
    answer = {"number": "12", "street": "Mian", "zip": "50010"}
    metrics = score(answer, target, number=3, zip=0.5)
    assert metrics["field_precision"] == pytest.approx(3 / 4.5)
    assert metrics["field_recall"] == pytest.approx(3 / 5)
    assert metrics["field_f1"] == pytest.approx(2 * 3 / 9.5)
    assert metrics["exact"] == 0


def test_a_weight_holds_inside_its_field_unless_another_is_nearer():
    target = {"place": {"city": "Ames", "zip": "1"}, "name": "x"}
    wrong = {"place": {"city": "?", "zip": "?"}, "name": "x"}
    assert score(wrong, target, place=2)["field_recall"] == pytest.approx(1 / 5)
    assert score(wrong, target, place=2, place__zip=7)["field_recall"] == pytest.approx(1 / 10)
    items = {"lines": ["a", "b"], "name": "x"}
    assert score({"lines": ["a"], "name": "x"}, items, lines=2)["field_recall"] == pytest.approx(
        0.6
    )


def test_a_field_of_weight_0_is_passed_over_but_exact_sees_it():
    metrics = score({"a": 1, "note": "?"}, {"a": 1, "note": "x"}, note=0)
    assert (metrics["field_f1"], metrics["exact"]) == (1, 0)
    assert score({"note": "?"}, {"note": "x"}, note=0)["field_f1"] == 1


objects = st.dictionaries(
    st.sampled_from("abcd"), st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=3), max_size=4
)
weights = st.dictionaries(st.sampled_from("abcd"), st.floats(0, 10), max_size=4)


@given(objects, objects, weights)
def test_scores_stay_in_0_to_1_and_equal_answers_get_1(one, other, chosen):
    metrics = score(one, other, **chosen)
    assert all(0 <= value <= 1 for value in metrics.values())
    assert set(score(one, one, **chosen).values()) == {1.0}


@given(objects, objects, st.floats(0.1, 10))
def test_equal_weights_change_nothing(one, other, weight):
    plain, weighed = score(one, other), score(one, other, **dict.fromkeys("abcd", weight))
    assert weighed == pytest.approx(plain)
