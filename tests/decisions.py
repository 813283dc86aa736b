"""Tasks on disk that take seconds to decide, for the tests of the whole pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

FIRST = ("John", "Mary", "Smith", "Jones", "Peter", "Anna", "Paul", "Ruth", "Hugo", "Vera")
LAST = ("Brown", "Smith", "Fox", "Decker", "Field", "Sanders", "Marsh", "Quick", "Dale", "Ott")
KINDS = ("Ltd", "Incorporated", "and Sons", "of Springfield")


def rows(count: int = 90) -> list[dict[str, str]]:
    """Distinct names, every other one a company's, no two nearly the same."""
    found = []
    for i in range(count):
        first, last = FIRST[i % 10], LAST[(i // 10 + i) % 10]
        name = f"{first} {i:03d} {last}"
        if i % 2:
            found.append({"input": f"{name} {KINDS[i // 2 % 4]}", "output": "company"})
        else:
            found.append({"input": name, "output": "person"})
    return found


def write_rows(path: Path, lines: list[Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def write_task(folder: Path, **changes: Any) -> Path:
    """A label task of 90 rows for the fake engine, prompts only; `changes` replace settings."""
    folder.mkdir(parents=True, exist_ok=True)
    settings: dict[str, Any] = {
        "name": "names",
        "instructions": "Decide whose name it is. Answer with the label.",
        "data": {"path": "rows.jsonl", "approved_by": "a test"},
        "output": {"kind": "label", "labels": ["person", "company"]},
        "metric": "accuracy",
        "goals": {"quality": 0.9},
        "models": {"prompt": {"engine": "fake", "model": "m"}, "tune": None},
        "budget": {"minutes": 30},
        "search": {"demonstrations": [2]},
    } | changes
    (folder / "task.yaml").write_text(yaml.safe_dump(settings, sort_keys=False), "utf-8")
    if not (folder / "rows.jsonl").exists():
        write_rows(folder / "rows.jsonl", rows())
    return folder


def both_arms(model: Path) -> dict[str, Any]:
    """Settings that let the model in a folder both be prompted and be tuned."""
    spec = {"engine": "local", "model": str(model), "machine_per_hour": 0.2}
    return {
        "models": {"prompt": spec, "tune": spec},
        "search": {
            "demonstrations": [2],
            "learning_rates": [0.005],
            "train_sizes": [16, 32],
            "epochs": 1,
        },
        "traffic": {"calls_per_month": 100000},
        # So much that what is measured does not hang on how fast the machine is at the moment.
        "budget": {"minutes": 600},
    }
