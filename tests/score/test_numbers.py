"""Numbers within a tolerance, as text and inside JSON."""

import json
import math
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import DataError
from trimtab.score import fields, text
from trimtab.score.numbers import read_number, snapped
from trimtab.task.spec import FieldScoring, Scoring, Tolerance
from trimtab.types import OutputContract

TEXT = OutputContract(kind="text")
ANY_JSON = OutputContract(kind="json", schema={"type": "object"})


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        (" -5.50 ", -5.5),
        ("+.5", 0.5),
        ("1,234,567.5", 1234567.5),
        ("1e3", 1000),
        ("2.5E-2", 0.025),
        ("007", 7),
    ],
)
def test_numbers_are_read(written, value):
    assert read_number(written) == value


@pytest.mark.parametrize(
    "written",
    [
        "",
        "five",
        "5 km",
        "$5",
        "5%",
        "5.",
        "1,23",
        "12,34,567",
        "1.2.3",
        "--5",
        "e5",
        ".",
        "nan",
        "inf",
        "1e999",
        "٥",
        "1_000",
        "0x10",
        "5\n6",
        "9" * 100_000,
    ],
)
def test_what_is_no_number_is_not_guessed_at(written):
    assert read_number(written) is None


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("100", 1), ("104.9", 1), ("95", 1), ("105.1", 0), ("94.9", 0), ("about 100", 0), ("x", 0)],
)
def test_the_relative_tolerance_is_of_the_target(answer, expected):
    judge = text.from_contract(TEXT, Scoring(number=Tolerance(relative=0.05)))
    assert judge(answer, "100").metrics["number"] == expected


def test_the_wider_of_both_tolerances_counts():
    tolerance = Tolerance(absolute=1, relative=0.1)
    assert tolerance.allows(5.9, 5)
    assert tolerance.allows(109, 100)
    assert not tolerance.allows(111, 100)
    assert Tolerance().allows(0.0, -0.0)


def test_a_target_that_is_no_number_is_an_error_of_the_data():
    judge = text.from_contract(TEXT, Scoring(number=Tolerance()))
    with pytest.raises(DataError, match="'ten' is no number"):
        judge("10", "ten")


def score(answer, target, **by_path):
    scoring = Scoring(fields={k.replace("__", "."): v for k, v in by_path.items()})
    scorer = fields.from_contract(ANY_JSON, scoring)
    return scorer(json.dumps(answer), json.dumps(target)).metrics


NEAR = FieldScoring(absolute=0.5)


@pytest.mark.parametrize(
    ("answer", "target", "f1", "exact"),
    [
        ({"a": 1.4}, {"a": 1}, 1, 1),
        ({"a": 1.6}, {"a": 1}, 0, 0),
        ({"a": "1"}, {"a": 1}, 0, 0),
        ({"a": True}, {"a": 1}, 0, 0),
        ({"a": None}, {"a": 1}, 0, 0),
        ({"a": 1.4, "b": 1.4}, {"a": 1, "b": 1}, 0.5, 0),
        ({"a": [3.4, 1.2]}, {"a": [1, 3]}, 1, 1),
        ({"a": [1.2, 1.3]}, {"a": [1]}, 2 / 3, 0),
        ({"a": [1.2, "x"]}, {"a": [1, "x"]}, 1, 1),
        ({"a": 10**400}, {"a": 1.5}, 0, 0),
        ({"a": 1.5}, {"a": 10**400}, 0, 0),
        ({}, {"a": 1}, 0, 0),
    ],
)
def test_a_tolerance_holds_for_its_field_only(answer, target, f1, exact):
    metrics = score(answer, target, a=NEAR)
    assert (metrics["field_f1"], metrics["exact"]) == (pytest.approx(f1), exact)


def test_a_tolerance_reaches_inner_fields():
    assert score({"a": {"b": 1.2, "c": 1}}, {"a": {"b": 1, "c": 1}}, a__b=NEAR)["exact"] == 1
    assert score({"a": {"b": 1.2, "c": 1.2}}, {"a": {"b": 1, "c": 1}}, a__b=NEAR)["exact"] == 0


numbers = st.lists(st.floats(-4, 4) | st.integers(-4, 4), max_size=4)


@given(numbers, numbers, st.sampled_from([(0.5, 0.0), (0.0, 0.3), (0.2, 0.5)]))
def test_as_many_numbers_of_a_list_match_as_can(answer, target, sizes):
    tolerance = Tolerance(absolute=sizes[0], relative=sizes[1])
    found = snapped({"a": answer}, {"a": target}, {("a",): tolerance})["a"]
    assert len(found) == len(answer)
    left, matched = list(target), 0
    for number in found:
        if number in left:
            left.remove(number)
            matched += 1
    padded = [*target, *[math.inf] * max(0, len(answer) - len(target))]
    best = max(
        sum(tolerance.allows(a, t) for a, t in zip(answer, order, strict=False) if t != math.inf)
        for order in permutations(padded)
    )
    assert matched == best
