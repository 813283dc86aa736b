from pathlib import Path

import pytest

from trimtab.errors import TaskError
from trimtab.task.load import load_task

GOOD = """\
name: demo
instructions: Decide.
data:
  path: rows.jsonl
output:
  kind: label
  labels: ["yes", "no"]
metric: accuracy
goals:
  quality: 0.9
traffic:
  stable_since: 2026-01-01
"""

SCHEMA = """\
name: demo
instructions: Extract.
data: {path: rows.jsonl}
output:
  kind: json
  schema:
    type: object
    properties:
      a: {type: string}
metric: field_f1
goals: {quality: 0.9}
"""


@pytest.fixture
def write(tmp_path):
    def _write(text: str | bytes) -> Path:
        file = tmp_path / "task.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return _write


def problems(file: Path) -> list[str]:
    with pytest.raises(TaskError) as caught:
        load_task(file)
    assert caught.value.exit_code == 2
    return [line.replace(str(file), file.name) for line in str(caught.value).splitlines()]


def test_folder_and_file_give_the_same_task(write):
    file = write(GOOD)
    assert load_task(file) == load_task(file.parent)
    assert load_task(file).traffic.stable_since is not None
    assert load_task(write("\ufeff" + GOOD)).name == "demo"


def test_every_problem_has_its_line_in_order(write):
    text = GOOD.replace("quality: 0.9", "quality: 2\n  validty: 0.9").replace(
        "kind: label", "kind: labels"
    )
    found = problems(write(text))
    assert [line.split(": ")[:2] for line in found] == [
        ["task.yaml:6", "output.kind"],
        ["task.yaml:10", "goals.quality"],
        ["task.yaml:11", "goals.validty"],
    ]
    assert "did you mean 'validity'?" in found[2]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("quality: 0.9", "nonsense: 1", 10, "the keys here are: quality"),
        ("metric: accuracy", "metric: exact", 8, "use one of: accuracy"),
        ('["yes", "no"]', "[yes, no]", 7, "put it in quotes"),
        ('["yes", "no"]', '["yes"]', 7, "at least two labels"),
        ('["yes", "no"]', '["yes", "yes"]', 7, "stands twice"),
        ('["yes", "no"]', '["yes", " no"]', 7, "without space"),
        ('["yes", "no"]', '["yes", ""]', 7, "not empty"),
        ("  path: rows.jsonl", "  path: rows.jsonl\n  path: b.jsonl", 5, "stands twice"),
        ("2026-01-01", "2026-13-01", 12, "month"),
        ("name: demo", "name: my task", 1, "name"),
        ("name: demo", "nam: demo", 1, "did you mean 'name'?"),
        ("name: demo", "- demo", 2, "not YAML"),
        ("Decide.", "[", 4, "not YAML"),
        ("Decide.", "\x07", 2, "not YAML"),
        ("Decide.", "&a [*a]", 2, "instructions"),
        ("Decide.", "[" * 5000, None, "nested too deeply"),
    ],
)
def test_a_problem_says_where_and_what(write, old, new, line, words):
    found = "\n".join(problems(write(GOOD.replace(old, new))))
    assert words in found
    if line is not None:
        assert f"task.yaml:{line}:" in found


def test_settings_of_another_kind_of_output_are_refused(write):
    text = GOOD.replace("kind: label", "kind: text").replace("accuracy", "exact")
    assert "labels belong to `kind: label`" in problems(write(text))[0]
    text = GOOD.replace("kind: label", "kind: label\n  schema: {type: object}")
    assert problems(write(text))[0].startswith("task.yaml:7: output.schema: a schema belongs to")


@pytest.mark.parametrize("number", [".inf", "-.inf", ".nan", "inf", "nan", "1e999"])
@pytest.mark.parametrize(
    "key",
    [
        "upkeep: {retrain_every_months: X}",
        "budget: {minutes: X}",
        "search: {learning_rates: [0.1, X]}",
    ],
)
def test_numbers_must_be_finite(write, key, number):
    text = GOOD + key.replace("X", number) + "\n"
    (found,) = problems(write(text))
    line = text.count("\n")
    assert found.startswith(f"task.yaml:{line}: {key.split(':')[0]}.")
    assert "finite number" in found


@pytest.mark.parametrize("currency", ['""', '"  "'])
def test_a_currency_has_a_name(write, currency):
    (found,) = problems(write(f"{GOOD}currency: {currency}\n"))
    assert "currency: " in found and "at least 1 character" in found


def test_unquoted_yes_and_no_are_both_named(write):
    assert len(problems(write(GOOD.replace('["yes", "no"]', "[yes, no]")))) == 2


def test_a_missing_key_is_named_with_its_parent_line(write):
    found = problems(write(GOOD.replace("  quality: 0.9", "  validity: 0.9")))
    assert found == ["task.yaml:9: goals.quality: this key is required"]


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ("type: object", "type: array", 6, "`type: object`"),
        ("properties:\n      a: {type: string}", "properties: {}", 6, "`properties`"),
        ("a: {type: string}", "a: {type: strin}", 9, "not a JSON Schema"),
        ("a: {type: string}", "a: {maximum: .inf}", 9, "inf is no number of JSON"),
        ("a: {type: string}", "a: {enum: [1, .nan]}", 9, "nan is no number of JSON"),
        ("a: {type: string}", "a: {$ref: '#/$defs/b'}", 9, "points at nothing"),
        ("a: {type: string}", "a: {$ref: 'http://example.org/s'}", 9, "points at nothing"),
    ],
)
def test_a_bad_schema_is_refused_where_it_is_bad(write, old, new, line, words):
    found = "\n".join(problems(write(SCHEMA.replace(old, new))))
    assert words in found
    assert f"task.yaml:{line}: output.schema" in found


def test_a_schema_with_local_references_is_accepted(write):
    text = SCHEMA.replace(
        "properties:\n      a: {type: string}",
        "$defs: {b: {type: string}}\n    properties: {a: {$ref: '#/$defs/b'}}",
    )
    assert load_task(write(text)).output.kind == "json"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "empty"),
        ("# only a comment\n", "empty"),
        ("just text\n", "keys and values"),
        ("- a\n- b\n", "keys and values"),
        (b"name: caf\xe9\n", "byte 9"),
        ("a: 1\n---\nb: 2\n", "not YAML"),
    ],
)
def test_files_that_are_no_task_are_refused(write, content, words):
    assert words in "\n".join(problems(write(content)))


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(TaskError, match="trimtab init"):
        load_task(tmp_path)
