"""Engines are found through real package metadata, made here for a package that is not ours."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from trimtab.engine.fake import FakeEngine
from trimtab.engine.openai import OpenAIEngine
from trimtab.engine.registry import GROUP, make_engine
from trimtab.errors import ModelError
from trimtab.task.spec import ModelSpec

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][GROUP]
    declared |= {"mine": "my_engine:make", "broken": "no_such_module_at_all:make"}
    info = tmp_path / "registered-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: registered\nVersion: 1\n")
    lines = [f"{name} = {target}" for name, target in declared.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines]))
    (tmp_path / "my_engine.py").write_text(
        "from trimtab.engine.fake import FakeEngine\n"
        "def make(spec, progress):\n"
        "    progress('making mine')\n"
        "    return FakeEngine(model_id='mine:' + spec.model)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def test_built_in_engines_use_the_same_door() -> None:
    assert isinstance(make_engine(ModelSpec(engine="fake"), print), FakeEngine)
    spec = ModelSpec(engine="openai", base_url="http://localhost:1/v1")
    assert isinstance(make_engine(spec, print), OpenAIEngine)


def test_an_engine_of_another_package() -> None:
    said: list[str] = []
    engine = make_engine(ModelSpec(engine="mine", model="m"), said.append)
    assert engine.model_id == "mine:m"
    assert said == ["making mine"]


def test_an_unknown_engine_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"'vlm' is not known.*fake, local, mine, openai"):
        make_engine(ModelSpec(engine="vlm"), print)


def test_a_missing_package_is_said() -> None:
    with pytest.raises(ModelError, match=r"no_such_module_at_all.*pip install"):
        make_engine(ModelSpec(engine="broken"), print)
