"""A JSON answer survives the form, whatever it holds; what was changed is read by its kind."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.review.forms import RAW, FieldProblem, form_fields, read_form
from trimtab.types import OutputContract

from .pages import ADDRESS

CONTRACT = OutputContract.model_validate(ADDRESS)
ANSWER = json.dumps({"city": "Austin", "floor": 3, "geo": {"lat": 1.50}, "names": ["a", "b"]})
SCALARS = st.none() | st.booleans() | st.integers(-999, 999) | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = st.sampled_from(["city", "zip", "floor", "kind", "lift", "names", "geo"]) | st.text(
    max_size=3
)


def sent(answer: str) -> dict[str, str]:
    """The form as a browser sends it when nothing was touched."""
    fields = form_fields(CONTRACT, answer)
    if not fields:
        return {RAW: answer}
    return {field.name: field.value.replace("\n", "\r\n") for field in fields}


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_an_untouched_form_changes_nothing(value) -> None:
    answer = json.dumps(value)
    assert json.loads(read_form(CONTRACT, answer, sent(answer))) == value


def changed(name: str, text: str) -> dict:
    return json.loads(read_form(CONTRACT, ANSWER, {**sent(ANSWER), f"field:{name}": text}))


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("city", "Dallas, TX", {"city": "Dallas, TX"}),
        ("zip", "007", {"zip": "007"}),
        ("floor", " 12 ", {"floor": 12}),
        ("kind", '"work"', {"kind": "work"}),
        ("lift", "true", {"lift": True}),
        ("names", "a\r\n c \r\n\r\n", {"names": ["a", "c"]}),
        ("geo/lat", "2.25", {"geo": {"lat": 2.25}}),
    ],
)
def test_a_changed_field_is_read_by_its_kind(name, text, wanted) -> None:
    assert changed(name, text) == json.loads(ANSWER) | wanted


def test_an_emptied_field_is_left_out() -> None:
    assert "floor" not in changed("floor", "")
    assert "geo" not in changed("geo/lat", " ")


def test_an_emptied_field_that_is_needed_stays_as_an_empty_text() -> None:
    assert changed("city", "")["city"] == ""


@pytest.mark.parametrize("text", ["three", "1.5", '"3"', "NaN", "[1]", "true"])
def test_a_field_of_another_kind_is_refused_by_name(text) -> None:
    with pytest.raises(FieldProblem) as problem:
        changed("floor", text)
    assert problem.value.name == "field:floor"
    assert "whole number" in str(problem.value)


def test_a_broken_answer_starts_an_empty_form() -> None:
    fields = form_fields(CONTRACT, "no json")
    assert [field.present for field in fields] == [False] * len(fields)
    assert json.loads(read_form(CONTRACT, "no json", {"field:city": "Austin"})) == {
        "city": "Austin"
    }


def test_without_named_fields_the_answer_is_edited_as_json() -> None:
    bare = OutputContract.model_validate({"kind": "json", "schema": {"type": "array"}})
    assert form_fields(bare, "[1]") == []
    assert read_form(bare, "[1]", {RAW: "[1,\r\n 2]"}) == "[1,2]"
    with pytest.raises(FieldProblem):
        read_form(bare, "[1]", {RAW: "[1"})
