"""What a program can verify of an answer, and what it must not be fooled by."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.tune.retention.checks import Checks, share_met

PASSES = [
    ({"equals": ["Yes"]}, '"yes."'),
    ({"number": 12}, "7 + 5 = 12."),
    ({"number": 1500}, "That is 1,500 in all"),
    ({"number": -3}, "-3"),
    ({"contains": ["red boat"]}, "A Red\n boat!"),
    ({"lacks": [" cat "]}, "concatenate"),
    ({"starts": "dear"}, "  Dear Ann"),
    ({"ends": "good luck"}, "So: Good luck!"),
    ({"ends": "?"}, "Is it?"),
    ({"case": "upper"}, "ROME, 1"),
    ({"case": "lower"}, "rome"),
    ({"quoted": True}, '"Hello, Anna"'),
    ({"words": [3, 3]}, "one, two - three"),
    ({"sentences": [2, 2]}, "It rains. We stay!"),
    ({"sentences": [1, 1]}, "no full stop"),
    ({"lines": [2, 2]}, "one\n\ntwo\n"),
    ({"commas": [3, 3]}, "a, b, c"),
    ({"bullets": [2, 2]}, "Here:\n- a\n* b"),
    ({"numbered": [2, 2]}, "1. a\n2) b"),
    ({"json_keys": ["a", "b"]}, '```json\n{"b": 1, "a": 2}\n```'),
    ({"json_items": [2, 2]}, "[1, 2]"),
    ({"csv": [2, 2]}, 'name,age\n"Lee, Ann",40'),
]
FAILS = [
    ({"equals": ["yes"]}, "yes, it is"),
    ({"number": 12}, "12 or 13"),
    ({"number": 12}, "twelve"),
    ({"contains": ["red", "blue"]}, "red"),
    ({"lacks": [" cat "]}, "The cat sat."[:-4] + "sat"),
    ({"starts": "Yes"}, "Well, yes"),
    ({"case": "upper"}, "Rome"),
    ({"case": "upper"}, "123"),
    ({"quoted": True}, 'He said "no"'),
    ({"words": [3, 3]}, "one two"),
    ({"words": [1, 2]}, "- ! -"),
    ({"bullets": [2, 2]}, "-a\n-b"),
    ({"json_keys": ["a"]}, '{"a": 1, "b": 2}'),
    ({"json_keys": ["a"]}, 'Here: {"a": 1}'),
    ({"json_items": [1, 9]}, '{"a": 1}'),
    ({"json_keys": ["a"]}, "[" * 100_000),
    ({"csv": [1, 3]}, "a,b\nc,d,e"),
]


@pytest.mark.parametrize(("checks", "answer"), PASSES)
def test_an_answer_that_keeps_its_constraint_passes(checks, answer) -> None:
    assert share_met(answer, Checks.model_validate(checks)) == 1


@pytest.mark.parametrize(("checks", "answer"), FAILS)
def test_an_answer_that_breaks_it_fails(checks, answer) -> None:
    assert share_met(answer, Checks.model_validate(checks)) == 0


def test_the_score_is_the_share_of_the_checks() -> None:
    checks = Checks(contains=("rome",), case="lower", words=(1, 1))
    assert share_met("Rome", checks) == pytest.approx(2 / 3)


def test_an_empty_answer_earns_nothing_by_what_it_leaves_out() -> None:
    assert share_met(" \n", Checks(lacks=("white",), words=(0, 5))) == 0


@given(st.text(), st.sampled_from([checks for checks, _ in PASSES]))
def test_whatever_a_model_writes_is_judged(answer, checks) -> None:
    assert 0 <= share_met(answer, Checks.model_validate(checks)) <= 1
