import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.task.data import read_examples
from trimtab.task.infer import infer_contract, infer_task
from trimtab.task.load import load_task
from trimtab.task.spec import Task


def infer(folder: Path, rows: list[dict[str, object]], name: str = "demo") -> tuple[Task, str]:
    data = folder / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    text = infer_task(data, name, "rows.jsonl")
    (folder / "task.yaml").write_text(text, encoding="utf-8")
    return load_task(folder), text


def test_labels(tmp_path):
    rows = [{"input": f"i{i}", "output": "yes" if i % 2 else "no"} for i in range(10)]
    task, text = infer(tmp_path, rows)
    assert (task.output.kind, task.output.labels, task.metric) == (
        "label",
        ("no", "yes"),
        "accuracy",
    )
    for word in ("# upkeep:", "# traffic:", "prices:", "approved_by", "before you see any result"):
        assert word in text
    assert len(read_examples(tmp_path / task.data.path, task.output)) == 10


def test_json(tmp_path):
    rows = [
        {"input": "a", "output": {"n": 1, "s": "x", "deep": {"p": [1, 2.5]}}},
        {"input": "b", "output": {"late": True, "n": None, "deep": {"p": [], "q": "r"}}},
    ]
    task, _ = infer(tmp_path, rows)
    assert task.metric == "field_f1"
    assert task.output.json_schema == {
        "type": "object",
        "properties": {
            "n": {"type": ["integer", "null"]},
            "s": {"type": "string"},
            "deep": {
                "type": "object",
                "properties": {
                    "p": {"type": "array", "items": {"type": "number"}},
                    "q": {"type": "string"},
                },
                "required": ["p"],
                "additionalProperties": False,
            },
            "late": {"type": "boolean"},
        },
        "required": ["n", "deep"],
        "additionalProperties": False,
    }


def test_json_as_text_is_json_too(tmp_path):
    task, _ = infer(tmp_path, [{"input": "a", "output": '{"n": 1}'}])
    assert task.output.kind == "json"


def test_the_system_message_becomes_the_instructions(tmp_path):
    system = "Answer:\n  - briefly  \n  - # politely: 'always' {x}\t\n"
    turns = [("system", system), ("user", "q"), ("assistant", "An answer.")]
    task, _ = infer(
        tmp_path, [{"messages": [{"role": role, "content": text} for role, text in turns]}]
    )
    assert task.instructions == system.strip()
    assert (task.output.kind, task.metric) == ("text", "normalized_exact")


@pytest.mark.parametrize(
    ("targets", "kind"),
    [
        (["a"] * 5 + ["b"] * 5, "label"),
        (["a"] * 5 + ["b"] * 4, "text"),
        (["a"] * 10, "text"),
        ([f"l{i % 30}" for i in range(150)], "label"),
        ([f"l{i % 31}" for i in range(155)], "text"),
        (["a\nb", "c"] * 10, "text"),
        (["a" * 61, "c"] * 10, "text"),
        (['{"a": 1}', "[]"] * 10, "label"),
        (["{}"] * 10, "text"),
    ],
)
def test_the_limits_between_the_contracts(targets, kind):
    assert infer_contract(targets).kind == kind


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.dictionaries(words, values, max_size=4), min_size=1, max_size=4)
    | st.lists(words, min_size=1, max_size=4).map(lambda labels: labels * 5),
    words,
)
def test_any_inferred_task_loads_and_its_own_targets_are_valid(tmp_path_factory, outputs, system):
    rows = [
        {
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": f"q{i}"},
                {"role": "assistant", "content": o if isinstance(o, str) else json.dumps(o)},
            ]
        }
        for i, o in enumerate(outputs)
    ]
    folder = tmp_path_factory.mktemp("task")
    task, _ = infer(folder, rows)
    assert task.instructions == system.strip()
    from trimtab.task.contract import violation

    for example in read_examples(folder / "rows.jsonl", task.output):
        assert violation(task.output, example.target) is None
