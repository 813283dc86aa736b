import json
import math

import pytest

from trimtab.audit.difficulty import difficulty, read_attempts, region
from trimtab.errors import RunError
from trimtab.types import Completion, Failed, Record, Scored

from .subjects import balanced


def test_regions():
    assert region([1, 1, 0.9]) == "easy"
    assert region([0, 0.1, 0]) == "hard"
    assert region([0, 1]) == "ambiguous"
    assert region([0.5, 0.5]) == "ambiguous"


def test_shares_and_the_hard_rows():
    rows = balanced(40)
    attempts = {row.id: [1.0, 1.0] for row in rows[:20]} | {
        row.id: [0.0, 0.0] for row in rows[20:30]
    }
    attempts[rows[35].id] = [1.0]  # one attempt tells nothing
    found = difficulty([*rows, rows[25]], attempts)
    assert found.figures == {"easy": 2 / 3, "ambiguous": 0, "hard": 1 / 3}
    assert set(found.rows) == {row.id for row in rows[20:30]}
    assert "0.00 right in 2 attempts" in found.flags[0].why


def test_data_without_hard_rows_is_a_warning_and_no_attempts_are_unknown():
    rows = balanced(40)
    assert difficulty(rows, {row.id: [1, 1] for row in rows}).severity == "warn"
    assert not difficulty(rows, {}).measured


def record(variant: str, example: str, outcome) -> Record:
    completion = Completion(text="a", finish="stop", tokens_in=1, tokens_out=1)
    return Record(variant=variant, example=example, completion=completion, outcome=outcome)


def test_attempts_of_a_run(tmp_path):
    (tmp_path / "records").mkdir()
    right, wrong = (Scored(metrics={"accuracy": x}, valid=True) for x in (1.0, 0.0))
    failed = Failed(boundary="timeout", message="late")
    for variant, outcome in (("v1", right), ("v2", wrong), ("v3", failed)):
        line = record(variant, "e1", outcome).model_dump_json() + "\n"
        (tmp_path / "records" / f"{variant}-dev.jsonl").write_text(line)
        (tmp_path / "records" / f"{variant}-test.jsonl").write_text(line)
    folder = tmp_path / "adapters" / "abc"
    folder.mkdir(parents=True)
    line = json.dumps({"example": "e1", "epoch": 1, "loss": math.log(4)})
    (folder / "dynamics.jsonl").write_text(line + "\n")
    assert read_attempts(tmp_path, "accuracy") == {"e1": pytest.approx([0.25, 1.0, 0.0])}


@pytest.mark.parametrize(
    "line", ["{}", '{"example": 1, "loss": 1}', '{"example": "e", "loss": -1}']
)
def test_damaged_dynamics_are_refused_with_their_line(tmp_path, line):
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "dynamics.jsonl").write_text(line + "\n")
    with pytest.raises(RunError, match=r"dynamics.jsonl:1: damaged"):
        read_attempts(tmp_path, "accuracy")
