"""docs/verdict.schema.json is the schema of the code; docs/verdict.md names its parts and works."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from report.decisions import complete, sparse
from trimtab.types import Decision

from .pages import code, page, rows
from .write_verdict_schema import SCHEMA, current_schema

PAGE = page("docs/verdict.md")
JQ = shutil.which("jq")


def written(decision: Decision) -> str:
    return decision.model_dump_json(indent=2, by_alias=True)


def gated(decision: Decision, goal: float) -> Decision:
    """The same decision under another goal of quality."""
    return decision.model_copy(update={"goals": decision.goals | {"quality": goal}})


def worded(decision: Decision, word: str) -> Decision:
    return decision.model_copy(
        update={"verdict": decision.verdict.model_copy(update={"word": word})}
    )


def test_the_schema_is_up_to_date():
    assert SCHEMA.read_text("utf-8") == current_schema(), (
        "docs/verdict.schema.json is out of date; "
        "run: .venv/bin/python tests/docs/write_verdict_schema.py"
    )


@pytest.mark.parametrize("build", [complete, sparse])
def test_a_written_verdict_fits_the_schema(build):
    schema = json.loads(SCHEMA.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    decision = json.loads(written(build()))
    assert list(validator.iter_errors(decision)) == []
    del decision["verdict"]["word"]
    assert [error.json_path for error in validator.iter_errors(decision)] == ["$.verdict"]


def test_the_page_names_every_part_in_the_order_of_the_file():
    assert [name for name, _ in rows(PAGE)] == list(Decision.model_fields)


LOW = complete().fine_tune.quality.low
CASES = [
    (worded(complete(), "fine-tune"), LOW, 0),
    (worded(complete(), "fine-tune"), LOW + 0.001, 1),
    (worded(complete(), "collect-data"), 0.01, 1),
    (worded(sparse(), "prompt"), 0.5, 1),
]


@pytest.mark.parametrize(("decision", "goal", "status"), CASES)
def test_the_python_gate(tmp_path: Path, decision, goal, status):
    (tmp_path / "verdict.json").write_text(written(gated(decision, goal)), "utf-8")
    script = code(PAGE, "python")[0]
    ran = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=False
    )
    assert ran.returncode == status, ran.stderr
    assert ("Traceback" in ran.stderr) is False


@pytest.mark.skipif(JQ is None, reason="jq is not installed")
@pytest.mark.parametrize(
    ("word", "above", "status"),
    [
        ("prompt", 0.0, 0),
        ("prompt", 0.001, 1),
        ("inconclusive", 0.0, 1),
    ],
)
def test_the_jq_gate(tmp_path: Path, word, above, status):
    decision = worded(complete(), word)
    decision = gated(decision, decision.prompt.quality.estimate + above)
    (tmp_path / "verdict.json").write_text(written(decision), "utf-8")
    command = code(PAGE, "sh")[0].replace("runs/latest/", f"{tmp_path}/")
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert ran.returncode == status, ran.stderr
