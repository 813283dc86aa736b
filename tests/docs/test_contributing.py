"""The examples of CONTRIBUTING.md work, found through real package metadata."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from trimtab.engine.registry import make_engine
from trimtab.score.registry import kind_scorer
from trimtab.task.spec import METRICS, NEEDS, ModelSpec, Scoring
from trimtab.types import OutputContract

from .pages import ROOT, code, page, section

PAGE = page("CONTRIBUTING.md")


def declared(text: str, group: str) -> dict[str, str]:
    points = tomllib.loads(text)["project"]["entry-points"][group]
    return {str(name): str(target) for name, target in points.items()}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Installs the module of a section, registered as its TOML says, beside the built-in ones.

    The package is called trimtab, so that it stands for the project with the section's change.
    """

    def install(heading: str, group: str, module: str) -> None:
        text = section(PAGE, heading)
        (changes,), (source,) = code(text, "toml"), code(text, "python")
        points = declared(page("pyproject.toml"), group)
        for name in declared(changes, group):
            points[name] = f"{module}:from_{'spec' if 'engines' in group else 'contract'}"
        info = tmp_path / "trimtab-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trimtab\nVersion: 1\n")
        lines = [f"{name} = {target}" for name, target in points.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
        (tmp_path / f"{module}.py").write_text(source, "utf-8")
        monkeypatch.syspath_prepend(str(tmp_path))

    return install


def test_the_engine_is_found_by_the_name_in_the_task_file(installed):
    installed("Adding an engine", "trimtab.engines", "contributed_engine")
    local = make_engine(ModelSpec(engine="ollama", model="m"), print)
    assert local.model_id == "openai:localhost:11434/v1:m"
    elsewhere = ModelSpec(engine="ollama", model="m", base_url="http://127.0.0.1:1/v1")
    assert make_engine(elsewhere, print).model_id == "openai:127.0.0.1:1/v1:m"


def test_the_scorer_gives_its_metric_and_those_of_its_kind(installed, monkeypatch):
    installed("Adding a metric", "trimtab.scorers", "contributed_scorer")
    monkeypatch.setitem(METRICS, "text", (*METRICS["text"], "digits"))
    score = kind_scorer(OutputContract(kind="text"), Scoring())
    assert score("(555) 01-23", "555-0123").metrics == {
        "exact": 0.0,
        "normalized_exact": 0.0,
        "digits": 1.0,
    }
    assert score("555-0124", "555-0123").metrics["digits"] == 0
    broken = score(" ", "no digits here")
    assert not broken.valid
    assert set(broken.metrics) == set(METRICS["text"]) - set(NEEDS)
    assert set(broken.metrics.values()) == {0.0}


def test_every_layer_is_named_in_the_order_that_is_checked():
    contract = tomllib.loads(page("pyproject.toml"))["tool"]["importlinter"]["contracts"][0]
    checked = [
        {name.strip().removeprefix("trimtab.") for name in layer.split("|")}
        for layer in reversed(contract["layers"])
    ]
    (line,) = [line for line in section(PAGE, "Layers").splitlines() if "→" in line]
    assert [set(layer.strip().split(", ")) for layer in line.split("→")] == checked


def test_every_make_target_is_named():
    targets = {
        line.split(":", maxsplit=1)[1]
        for line in (ROOT / "Makefile").read_text("utf-8").splitlines()
        if line.startswith(".PHONY")
    }
    named = {
        line.split()[1] for line in section(PAGE, "Set-up").splitlines() if line.startswith("    ")
    }
    assert named == set(" ".join(targets).split())
