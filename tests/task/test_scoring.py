"""The section `scoring`: what cannot judge the task's answers is refused where it stands."""

from pathlib import Path

import pytest

from trimtab.errors import TaskError
from trimtab.task.load import load_task

LABEL = """\
name: demo
instructions: Decide.
data: {path: rows.jsonl}
output:
  kind: label
  labels: [low, high]
goals: {quality: 0.9}
"""
JSON = """\
name: demo
instructions: Extract.
data: {path: rows.jsonl}
output:
  kind: json
  schema:
    type: object
    properties:
      total: {type: number}
      items: {type: array, items: {type: integer}}
      name: {type: string}
      place: {$ref: "#/$defs/place"}
    $defs:
      place: {type: object, properties: {zip: {type: string}, x: {type: number}}}
goals: {quality: 0.9}
"""
TEXT = """\
name: demo
instructions: Answer.
data: {path: rows.jsonl}
output: {kind: text}
goals: {quality: 0.9}
"""


def load(folder: Path, text: str):
    (folder / "task.yaml").write_text(text, "utf-8")
    return load_task(folder)


def problem(folder: Path, text: str) -> str:
    with pytest.raises(TaskError) as caught:
        load(folder, text)
    return str(caught.value).replace(str(folder), "")


GOOD = {
    "costs": LABEL
    + "metric: cost_score\nscoring:\n  costs: {table: {high: {low: 10}}, invalid: 3}",
    "fields": JSON
    + "metric: field_f1\nscoring:\n  fields:\n    total: {absolute: 0.01, weight: 2}\n"
    "    items: {relative: 0.1}\n    place.x: {absolute: 1}\n    place.zip: {weight: 0}",
    "number": TEXT + "metric: number\nscoring: {number: {relative: 0.05}}",
    "exact number": TEXT + "metric: number\nscoring: {number: {}}",
    "pattern": TEXT + "metric: pattern\nscoring: {pattern: 'answer: (.+)'}",
    "chrf": TEXT + "metric: chrf\nscoring: {chrf: true}",
    "function": TEXT + "metric: function\nscoring: {function: 'scorer.py:judge'}",
    "judge that decides": TEXT
    + "metric: judge\nscoring: {judge: {model: {engine: fake}, rubric: good, reviews: r.jsonl}}",
    "judge beside": TEXT + "metric: exact\nscoring: {judge: {model: {engine: fake}, rubric: good}}",
}


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_section_that_fits_loads(tmp_path, text):
    assert load(tmp_path, text).scoring is not None


BAD = {
    "metric without its section": (LABEL + "metric: cost_score", 8, "needs `scoring.costs`"),
    "chrf not asked for": (
        TEXT + "metric: chrf\nscoring: {chrf: false}",
        6,
        "needs `scoring.chrf`",
    ),
    "of another kind": (
        TEXT + "metric: exact\nscoring:\n  costs: {}",
        8,
        "`kind: label`, not `kind: text`",
    ),
    "unknown target label": (
        LABEL + "metric: cost_score\nscoring:\n  costs:\n    table:\n      hgih: {low: 2}",
        12,
        "did you mean 'high'",
    ),
    "unknown answered label": (
        LABEL + "metric: cost_score\nscoring:\n  costs:\n    table:\n      high: {lwo: 2}",
        12,
        "did you mean 'low'",
    ),
    "a right label that costs": (
        LABEL + "metric: cost_score\nscoring:\n  costs:\n    table:\n      high: {high: 2}",
        12,
        "the right label costs nothing",
    ),
    "nothing costs": (
        LABEL
        + "metric: cost_score\nscoring:\n  costs:\n    table: {high: {low: 0}, low: {high: 0}}\n"
        "    invalid: 0",
        10,
        "nothing would be judged",
    ),
    "a negative cost": (
        LABEL + "metric: cost_score\nscoring:\n  costs:\n    table:\n      high: {low: -1}",
        12,
        "greater than or equal to 0",
    ),
    "an infinite cost": (
        LABEL + "metric: cost_score\nscoring:\n  costs:\n    table:\n      high: {low: .inf}",
        12,
        "finite",
    ),
    "unknown field": (
        JSON + "metric: exact\nscoring:\n  fields:\n    totl: {weight: 2}",
        19,
        "did you mean 'total'",
    ),
    "unknown inner field": (
        JSON + "metric: exact\nscoring:\n  fields:\n    place.zap: {weight: 2}",
        19,
        "did you mean 'zip'",
    ),
    "a field of what has none": (
        JSON + "metric: exact\nscoring:\n  fields:\n    name.first: {weight: 2}",
        19,
        "no named fields",
    ),
    "a tolerance on text": (
        JSON + "metric: exact\nscoring:\n  fields:\n    name: {absolute: 2}",
        19,
        "a tolerance is for numbers",
    ),
    "a misspelt key of a field": (
        JSON + "metric: exact\nscoring:\n  fields:\n    name:\n      wieght: 2",
        20,
        "did you mean 'weight'",
    ),
    "all weights 0": (
        JSON
        + "metric: exact\nscoring:\n  fields:\n"
        + "".join(f"    {name}: {{weight: 0}}\n" for name in ("total", "items", "name", "place")),
        18,
        "nothing would be judged",
    ),
    "a share above 1": (
        TEXT + "metric: number\nscoring:\n  number: {relative: 1}",
        8,
        "less than 1",
    ),
    "no regular expression": (
        TEXT + "metric: pattern\nscoring:\n  pattern: 'a(b'",
        8,
        "not a regular expression",
    ),
    "two groups": (
        TEXT + "metric: pattern\nscoring:\n  pattern: '(a)(b)'",
        8,
        "at most one group",
    ),
    "no function named": (
        TEXT + "metric: function\nscoring:\n  function: scorer.py",
        8,
        "scoring.function",
    ),
    "a deciding judge without reviews": (
        TEXT + "metric: judge\nscoring:\n  judge:\n    model: {engine: fake}\n    rubric: good",
        8,
        "needs `reviews`",
    ),
    "one grade": (
        TEXT + "metric: exact\nscoring:\n  judge:\n    model: {engine: fake}\n    rubric: good\n"
        "    grades: 1",
        11,
        "greater than or equal to 2",
    ),
}


@pytest.mark.parametrize(("text", "line", "words"), BAD.values(), ids=BAD)
def test_what_cannot_judge_is_refused_with_its_line(tmp_path, text, line, words):
    found = problem(tmp_path, text)
    assert words in found
    assert found.startswith(f"/task.yaml:{line}: ")
