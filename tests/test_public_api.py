"""The names that users may rely on."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import trimtab

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def test_the_names_are_few_and_stand_once() -> None:
    assert 15 <= len(trimtab.__all__) <= 18
    assert len(set(trimtab.__all__)) == len(trimtab.__all__)
    assert set(trimtab.__all__) == set(trimtab._WHERE)


@pytest.mark.parametrize("name", trimtab.__all__)
def test_a_name_is_there_and_documented(name) -> None:
    thing = getattr(trimtab, name)
    assert thing.__name__ == name
    module = importlib.import_module(f"trimtab.{trimtab._WHERE[name]}")
    assert thing is getattr(module, name), "a public name is no copy"
    made = f"{thing.__module__}."
    assert made.startswith(f"{module.__name__}."), "it is named by where it is made, or its folder"
    assert thing.__doc__, f"{name} has no docstring"
    assert not thing.__doc__.startswith(f"{name}("), f"the docstring of {name} is a generated one"


@pytest.mark.parametrize("name", trimtab.__all__)
def test_a_function_is_fully_annotated(name) -> None:
    thing = getattr(trimtab, name)
    if inspect.isfunction(thing):
        signature = inspect.signature(thing)
        assert signature.return_annotation is not inspect.Signature.empty
        for parameter in signature.parameters.values():
            assert parameter.annotation is not inspect.Parameter.empty, parameter.name


def test_type_checkers_see_the_same_names() -> None:
    source = Path(trimtab.__file__).read_text()
    guarded = source.partition("if TYPE_CHECKING:")[2].partition("__version__")[0]
    seen = {
        name.strip()
        for line in guarded.splitlines()
        if " import " in line
        for name in line.partition(" import ")[2].split(",")
    }
    assert seen == set(trimtab.__all__)


def test_another_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = trimtab.no_such_name
    with pytest.raises(ImportError):
        importlib.import_module("trimtab.no_such_module")


def test_the_version_is_that_of_the_package() -> None:
    assert trimtab.__version__ == tomllib.loads(PYPROJECT.read_text())["project"]["version"]


def test_importing_trimtab_imports_nothing_else() -> None:
    script = "import sys, trimtab; print([m for m in sys.modules if m.startswith('trimtab.')])"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("first", ["trimtab.pipeline", "trimtab.decide.rule"])
def test_decide_is_the_function_whatever_was_imported_before(first) -> None:
    """There is a folder of the same name."""
    script = f"import {first}, trimtab; print(trimtab.decide.__name__, trimtab.decide.__module__)"
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert found.stdout.split() == ["decide", "trimtab.pipeline"]


def test_the_example_of_the_docstring_runs(tmp_path, monkeypatch) -> None:
    """As the package's docstring has it, on a task of its own."""
    from decisions import write_task

    monkeypatch.chdir(write_task(tmp_path / "task"))
    assert 'trimtab.decide("task.yaml")' in trimtab.__doc__
    decided = trimtab.decide("task.yaml")
    assert decided.decision.verdict.headline
    variant = trimtab.load(decided.folder)
    assert variant.predict("1600 Pennsylvania Ave NW, Washington DC 20500").text


def test_paths_may_be_text(tmp_path) -> None:
    from decisions import write_task

    folder = str(write_task(tmp_path / "task"))
    assert trimtab.load_task(folder) == trimtab.load_task(f"{folder}/task.yaml")
    opened, planned = trimtab.plan(folder)
    assert planned.stages
    assert opened.task == trimtab.load_task(folder)
