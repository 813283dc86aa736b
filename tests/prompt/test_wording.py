import json

import pytest

from trimtab.prompt.wording import format_text, short_text, system_text

from .factories import LABELS, TEXT, json_contract, row, task

STRING = {"type": "string"}


def test_system_text_is_the_instructions_as_written_then_the_format():
    written = "Who is it?\n\n- a person\n- a company"
    text = system_text(task(instructions=f"\n{written}\n"))
    assert text == f"{written}\n\n{format_text(LABELS)}"
    assert text.endswith(":\nperson\ncompany")


@pytest.mark.parametrize(
    ("properties", "rest", "words"),
    [
        (
            {"city": STRING, "zip": STRING},
            {},
            "object with the fields city, zip; leave out fields that the input does not give",
        ),
        (
            {"city": STRING, "zip": STRING},
            {"required": ["city", "zip"]},
            "object with all of the fields city, zip",
        ),
        (
            {"city": STRING, "floor": {"type": "integer"}},
            {"required": ["floor"]},
            "object with the fields city, floor (integer; required); "
            "leave out others that the input does not give",
        ),
        (
            {
                "tags": {"type": "array", "items": STRING},
                "kind": {"enum": ["é", 2]},
                "note": {"type": ["string", "null"]},
                "any": {},
                "raw": True,
                "version": {"const": 1},
                "lines": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"n": STRING}, "required": ["n"]},
                },
            },
            {"required": ["tags", "kind", "note", "any", "raw", "version", "lines"]},
            'object with all of the fields tags (list of string), kind (one of "é", 2), '
            "note (string or null), any, raw, version (always 1), "
            "lines (list of object with all of the fields n)",
        ),
        ({}, {}, "object"),
    ],
)
def test_json_formats_in_words(properties, rest, words):
    contract = json_contract(properties, **rest)
    assert format_text(contract) == f"Answer with JSON only: one {words}."


def test_text_format_asks_for_the_result_only():
    assert "result only" in format_text(TEXT)


@pytest.mark.parametrize(
    ("instructions", "short"),
    [
        ("Classify the name. Answer briefly.", "Classify the name."),
        ("Split the address\ninto parts", "Split the address into parts"),
        ("Parse U.S. addresses, e.g. of shops. Then stop.", "Parse U.S. addresses, e.g. of shops."),
        ("Extract the fields:\n\n- city\n- zip", "Extract the fields:"),
        ("Ist es gut? Übersetze.", "Ist es gut?"),
        ("分类名称。只回答标签。", "分类名称。"),
        ("Give version 2.5 of it! Now.", "Give version 2.5 of it!"),
    ],
)
def test_short_text_is_the_first_sentence(instructions, short):
    assert short_text(task(instructions=instructions)) == short


def test_short_instructions_are_taken_where_given():
    assert short_text(task(short_instructions=" Name type? ")) == "Name type?"


def test_the_schema_and_the_labels_as_they_are():
    assert system_text(task(), "schema").endswith(": person | company")
    contract = json_contract({"city": STRING}, required=["city"])
    schema = system_text(task(contract), "schema").splitlines()[-1]
    assert json.loads(schema) == contract.json_schema


@pytest.mark.parametrize(("name", "without"), [("example", "words"), ("both", "schema")])
def test_a_worked_example_follows_the_format(name, without):
    shown = row("Ann Ltd", "company")
    text = system_text(task(), name, shown)
    assert text.startswith(system_text(task(), without))
    assert text.endswith("\nAnn Ltd\nanswer:\ncompany")
    with pytest.raises(ValueError, match="worked example; give one"):
        system_text(task(), name)


def test_a_format_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="no format 'schema' for text outputs"):
        system_text(task(TEXT), "schema")
