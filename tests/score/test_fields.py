import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import DataError
from trimtab.score import fields
from trimtab.types import OutputContract

ANYTHING = fields.from_contract(OutputContract(kind="json", schema={"type": "object"}))
CITY = fields.from_contract(
    OutputContract(
        kind="json",
        schema={
            "type": "object",
            "properties": {"city": {"type": "string"}, "zip": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    )
)


def score(answer, target):
    return ANYTHING(json.dumps(answer), json.dumps(target)).metrics


def parts(metrics):
    return metrics["exact"], metrics["field_precision"], metrics["field_recall"]


def test_f1_of_a_row_by_hand():
    target = {"number": "12", "street": "Main", "city": "Ames", "state": "IA"}
    answer = {"number": "12", "street": "Main", "city": "Iowa"}
    metrics = score(answer, target)
    assert parts(metrics) == (0, pytest.approx(2 / 3), pytest.approx(2 / 4))
    assert metrics["field_f1"] == pytest.approx(2 * 2 / (3 + 4))


@pytest.mark.parametrize(
    ("answer", "target", "exact", "precision", "recall"),
    [
        ({}, {}, 1, 1, 1),
        ({}, {"a": "x"}, 0, 0, 0),
        ({"a": "x"}, {}, 0, 0, 0),
        ({"a": " two\n words "}, {"a": "two words"}, 1, 1, 1),
        ({"a": "Two"}, {"a": "two"}, 0, 0, 0),
        ({"a": 1}, {"a": 1.0}, 1, 1, 1),
        ({"a": 1}, {"a": True}, 0, 0, 0),
        ({"a": 1}, {"a": "1"}, 0, 0, 0),
        ({"a": None}, {}, 0, 0, 0),
        ({"a": []}, {}, 0, 1, 1),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, 0, 0.5, 0.5),
        ({"b": 1}, {"a": {"b": 1}}, 0, 0, 0),
        ({"t": ["x", "y"]}, {"t": ["y", "x"]}, 1, 1, 1),
        ({"t": ["x", "x"]}, {"t": ["x"]}, 0, 0.5, 1),
        ({"t": ["x"]}, {"t": "x"}, 0, 0, 0),
        ({"t": [["x", "y"]]}, {"t": [["y", "x"]]}, 1, 1, 1),
    ],
)
def test_known_answers(answer, target, exact, precision, recall):
    assert parts(score(answer, target)) == (exact, precision, recall)


def test_values_of_one_list_item_are_not_credited_to_another():
    target = [{"item": "tea", "price": 2}, {"item": "cake", "price": 5}]
    swapped = [{"item": "tea", "price": 5}, {"item": "cake", "price": 2}]
    assert score({"lines": swapped}, {"lines": target})["field_f1"] == 0
    assert score({"lines": target[::-1]}, {"lines": target})["field_f1"] == 1
    assert score({"lines": [target[0], swapped[1]]}, {"lines": target})["field_f1"] == 0.5


@pytest.mark.parametrize(
    "answer",
    [
        "",
        '{"city":"Ames"',
        '```json\n{"city":"Ames"}\n```',
        'Sure! {"city":"Ames"}',
        '{"city":"Ames"}{"city":"Ames"}',
        "{'city':'Ames'}",
        '{"city":"Ames","city":"Ames"}',
        '{"city":NaN}',
        '{"city":1}',
        '{"zip":"50010"}',
        '{"city":"Ames","state":"IA"}',
        '["Ames"]',
        '{"city":' + "[" * 100_000,
        '{"city":' + "[" * 100_000 + "]" * 100_000 + "}",
    ],
)
def test_an_answer_that_breaks_the_contract_is_wrong_and_says_why(answer):
    scored = CITY(answer, '{"city":"Ames"}')
    assert not scored.valid
    assert scored.problem
    assert scored.parsed is None
    assert set(scored.metrics.values()) == {0.0}
    assert set(scored.metrics) == set(CITY('{"city":"Ames"}', '{"city":"Ames"}').metrics)


def test_surrounding_whitespace_is_no_fault():
    scored = CITY('\n {"city": "Ames"} \n', '{"city":"Ames"}')
    assert (scored.valid, scored.metrics["exact"], scored.parsed) == (True, 1, {"city": "Ames"})


def test_deeply_nested_answers_are_judged_or_invalid_but_never_crash():
    for depth in (50, 200, 400, 900, 5_000):
        nested = '{"a":' * depth + "1" + "}" * depth
        lists = '{"a":' + "[" * depth + "]" * depth + "}"
        for answer in (nested, lists):
            scored = ANYTHING(answer, "{}")
            assert scored.valid == (scored.problem is None)
            assert scored.metrics["exact"] == 0


def test_a_target_that_breaks_the_contract_is_an_error_of_the_data():
    with pytest.raises(DataError, match="breaks the task's own output contract"):
        CITY('{"city":"Ames"}', "{}")


scalars = (
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-3, 3) | st.text("ab \n", max_size=3)
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)


@given(objects)
def test_an_object_equals_itself(value):
    assert set(score(value, value).values()) == {1.0}


@given(objects, objects)
def test_metrics_are_bounded_consistent_and_swap_precision_with_recall(one, other):
    forth, back = score(one, other), score(other, one)
    assert all(0 <= metric <= 1 for metric in forth.values())
    precision, recall = forth["field_precision"], forth["field_recall"]
    assert (back["field_precision"], back["field_recall"]) == (recall, precision)
    assert (back["field_f1"], back["exact"]) == (forth["field_f1"], forth["exact"])
    mean = 2 * precision * recall / (precision + recall) if precision + recall else 0
    assert forth["field_f1"] == pytest.approx(mean)
    if forth["exact"]:
        assert forth["field_f1"] == 1


@given(objects, st.randoms())
def test_the_order_of_list_items_and_keys_does_not_matter(value, random):
    def shuffled(node):
        if isinstance(node, list):
            return random.sample([shuffled(item) for item in node], len(node))
        if isinstance(node, dict):
            return {key: shuffled(node[key]) for key in random.sample(list(node), len(node))}
        return node

    assert set(score(shuffled(value), value).values()) == {1.0}
