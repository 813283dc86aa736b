"""The README's commands and Python lines run as printed, on the engine that needs no model."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    (block,) = [b for b in blocks("") if b.startswith("trimtab init")]
    return [line.split("#")[0].strip() for line in block.splitlines()]


@pytest.fixture
def run(tmp_path):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def call(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    return call


def test_own_task_from_init_to_predict_and_python(tmp_path, run):
    words = ["red", "green", "blue", "amber", "teal"]
    rows = [
        {"input": f"{words[i % 5]} thing number {i} of {i * 7919 % 1000}", "output": words[i % 5]}
        for i in range(150)
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    (tmp_path / "inputs.txt").write_text("red thing\nblue thing\n")
    init, plan, decide, predict = commands()
    run(init)
    use_the_fake_engine(tmp_path / "my-task/task.yaml")
    assert "prompt search" in run(plan)
    assert "report.html" in run(decide)
    run(predict)
    answers = [json.loads(x) for x in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [answer["input"] for answer in answers] == ["red thing", "blue thing"]
    assert all(answer["valid"] for answer in answers)
    (program,) = blocks("python")
    (tmp_path / "program.py").write_text(program)
    assert run("python program.py").split()[0] in {"prompt", "inconclusive", "collect-data"}


def use_the_fake_engine(path: Path) -> None:
    task = yaml.safe_load(path.read_text())
    task["models"] = {"prompt": {"engine": "fake"}, "tune": None}
    path.write_text(yaml.safe_dump(task, sort_keys=False))


def test_make_commands_exist():
    makefile = (Path(__file__).parent.parent / "Makefile").read_text()
    for command in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{command}:", makefile, re.MULTILINE), command
