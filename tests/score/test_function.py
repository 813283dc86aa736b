"""A user's own function: its values, its faults and its bad results."""

import pytest

from trimtab.errors import TaskError
from trimtab.score import fields, label
from trimtab.score.base import Answered, SingleRows
from trimtab.score.function import FunctionScorer, load_function
from trimtab.types import Failed, OutputContract

LABELS = OutputContract(kind="label", labels=("a", "b"))
ANY_JSON = OutputContract(kind="json", schema={"type": "object"})


def scorer(folder, code, contract=LABELS):
    (folder / "scorer.py").write_text(code, "utf-8")
    function, file = load_function("scorer.py:judge", folder)
    module = label if contract is LABELS else fields
    return FunctionScorer(SingleRows(module.from_contract(contract)), contract, function, file)


def one(folder, code, answer="a", target="a", contract=LABELS):
    (found,) = scorer(folder, code, contract).score_rows([Answered("in", target, answer)])
    return found


def test_the_function_sees_parsed_values_and_the_input(tmp_path):
    code = (
        "def judge(answer, target, input):\n"
        "    return 0.5 if (answer, target, input) == ({'x': 1}, {'x': 2}, 'in') else 0\n"
    )
    found = one(tmp_path, code, '{"x": 1}', '{"x":2}', ANY_JSON)
    assert found.metrics["function"] == 0.5
    assert found.metrics["field_f1"] == 0


@pytest.mark.parametrize(
    ("result", "expected"),
    [("True", 1), ("0", 0), ("1.0", 1), ("__import__('numpy').float32(0.5)", 0.5)],
)
def test_numbers_of_all_kinds_are_taken(tmp_path, result, expected):
    code = f"def judge(*, target, input, answer):\n    return {result}\n"
    assert one(tmp_path, code).metrics == {"accuracy": 1, "function": expected}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ("1.5", "0..1, not 1.5"),
        ("-0.1", "0..1, not -0.1"),
        ("float('nan')", "not nan"),
        ("None", "not None"),
        ("'1'", "not '1'"),
        ("[1]", "not [1]"),
        ("1 / 0", "scorer.py:2: ZeroDivisionError: division by zero"),
        ("{}['total']", "scorer.py:2: KeyError: 'total'"),
        ("answer.x.y", "scorer.py:2: AttributeError"),
    ],
)
def test_a_bad_result_fails_the_row_and_says_why(tmp_path, result, words):
    found = one(tmp_path, f"def judge(answer, target, input):\n    return {result}\n")
    assert isinstance(found, Failed)
    assert found.boundary == "scorer"
    assert words in found.message


def test_endless_recursion_fails_the_row(tmp_path):
    code = "def judge(answer, target, input):\n    return judge(answer, target, input)\n"
    assert "RecursionError" in one(tmp_path, code).message


def test_an_interrupt_is_no_fault_of_the_row(tmp_path):
    code = "def judge(answer, target, input):\n    raise KeyboardInterrupt\n"
    with pytest.raises(KeyboardInterrupt):
        one(tmp_path, code)


def test_an_invalid_answer_is_0_without_asking(tmp_path):
    found = one(tmp_path, "def judge(answer, target, input):\n    raise ValueError\n", answer="?")
    assert (found.valid, found.metrics) == (False, {"accuracy": 0, "function": 0})


def test_a_bad_target_fails_before_the_function(tmp_path):
    found = one(tmp_path, "def judge(answer, target, input):\n    return 1\n", target="robot")
    assert "'robot'" in found.message


def test_a_file_may_hold_a_dataclass(tmp_path):
    code = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass P:\n    x: int = 1\n"
        "def judge(answer, target, input):\n    return P().x\n"
    )
    assert one(tmp_path, code).metrics["function"] == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (None, "there is no file"),
        ("def judge(:\n", "SyntaxError"),
        ("import no_such_module\n", "scorer.py:1: ModuleNotFoundError"),
        ("x = 1\n\n\nraise RuntimeError('half')\n", "scorer.py:4: RuntimeError: half"),
        ("def grade(answer):\n    return 1\n", "it holds: grade"),
        ("judge = 3\n", "it holds: none"),
        ("def judge(output, expected):\n    return 1\n", "def judge(answer, target, input)"),
    ],
)
def test_a_file_that_cannot_judge_is_refused(tmp_path, code, words):
    if code is not None:
        (tmp_path / "scorer.py").write_text(code, "utf-8")
    with pytest.raises(TaskError) as caught:
        load_function("scorer.py:judge", tmp_path)
    assert words in str(caught.value)
    assert "scorer.py" in str(caught.value)
