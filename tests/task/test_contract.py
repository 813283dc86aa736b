import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.task.contract import MAX_DEPTH, canonical_target, parse, strict_json, violation
from trimtab.types import OutputContract

LABEL = OutputContract(kind="label", labels=("yes", "no"))
TEXT = OutputContract(kind="text")
JSON = OutputContract(
    kind="json",
    json_schema={
        "type": "object",
        "additionalProperties": False,
        "required": ["b"],
        "properties": {
            "b": {"type": "string"},
            "a": {"type": "integer"},
            "c": {"$ref": "#/$defs/pair"},
            "d": {"type": "array", "items": {"$ref": "#/$defs/pair"}},
        },
        "$defs": {"pair": {"type": "object", "properties": {"y": {}, "x": {}}}},
    },
)


def test_labels_match_exactly_after_stripping():
    assert parse(LABEL, " yes\n") == "yes"
    for wrong in ("Yes", "yes.", "", "yes no", "yes\nno"):
        assert violation(LABEL, wrong) is not None


def test_text_must_not_be_empty_and_stays_as_it_is():
    assert parse(TEXT, " a ") == " a "
    assert violation(TEXT, " \n") is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the text is empty"),
        ('{"b": "x"', "text ends"),
        ('Sure! {"b": "x"}', "at character 1, found 'Sure!"),
        ('{"b": "x"} and', "at character 12, found 'and'"),
        ('{"b": "x", "b": "y"}', "the key 'b' stands twice"),
        ('{"b": "x", "a": NaN}', "NaN"),
        ('{"b": "x", "a": -Infinity}', "-Infinity"),
        ('{"b": "x", "a": 1e999}', "too large"),
        ('{"b": "x", "a": ' + "9" * 5000 + "}", "limit"),
        ('{"b": "\\ud800"}', "surrogate"),
        ('{"b": 1}', "$.b"),
        ("{}", "'b' is a required property"),
        ('{"b": "x", "z": 1}', "'z'"),
        ('["b"]', "is not of type 'object'"),
        ("[" * 100_000, "nested deeper"),
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested deeper"),
        ('{"a":' * 200 + "1" + "}" * 200, "nested deeper"),
    ],
)
def test_broken_json_is_a_reason_and_never_a_crash(text, reason):
    found = violation(JSON, text)
    assert found is not None
    assert reason in found
    with pytest.raises(ValueError, match=re.escape(found)):
        parse(JSON, text)


def test_nesting_up_to_the_limit_is_read():
    assert strict_json("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_endless_reference_is_a_violation_not_a_crash():
    contract = OutputContract(kind="json", json_schema={"type": "object", "$ref": "#"})
    assert "without end" in (violation(contract, "{}") or "")


def test_valid_json_parses_to_its_value():
    assert parse(JSON, ' {"a": 1, "b": "é"}\n') == {"a": 1, "b": "é"}


def test_canonical_json_is_compact_in_schema_order_at_every_level():
    raw = {"d": [{"x": 1, "y": 2}], "z": 0, "c": {"n": 0, "x": 1, "y": 2}, "a": 1, "b": "é"}
    expected = '{"b":"é","a":1,"c":{"y":2,"x":1,"n":0},"d":[{"y":2,"x":1}],"z":0}'
    assert canonical_target(JSON, raw) == expected
    assert canonical_target(JSON, json.dumps(raw)) == expected


def test_canonical_keeps_what_is_no_json_for_the_audit_to_list():
    assert canonical_target(JSON, " not json ") == "not json"


def test_canonical_labels_and_text():
    assert canonical_target(LABEL, " yes ") == "yes"
    assert canonical_target(LABEL, True) == "true"
    assert canonical_target(TEXT, " a ") == " a "
    assert canonical_target(TEXT, {"a": 1}) == '{"a":1}'


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=10,
)


@given(json_values)
def test_strict_json_reads_what_json_writes(value):
    assert strict_json(json.dumps(value)) == value


@given(st.dictionaries(st.sampled_from("abcdxyz"), json_values))
def test_canonical_changes_no_value_and_is_stable(value):
    once = canonical_target(JSON, value)
    assert json.loads(once) == value
    assert canonical_target(JSON, once) == once
    shuffled = {key: value[key] for key in sorted(value, reverse=True)}
    known = set("abcd")
    if set(value) <= known:
        assert list(json.loads(canonical_target(JSON, shuffled))) == list(json.loads(once))


@given(st.text())
def test_any_text_gets_a_judgement(text):
    for contract in (LABEL, TEXT, JSON):
        reason = violation(contract, text)
        assert reason is None or reason
