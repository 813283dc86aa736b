"""Registers the entry points that pyproject.toml declares, as an installation would."""

import tomllib
from pathlib import Path

import pytest

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """Writes the metadata of an installed package that provides the given scorers."""

    def install(name, scorers):
        folder = tmp_path / name / f"{name}-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = "".join(f"{kind} = {value}\n" for kind, value in scorers.items())
        (folder / "entry_points.txt").write_text(f"[trimtab.scorers]\n{lines}")
        monkeypatch.syspath_prepend(folder.parent)

    return install


@pytest.fixture
def built_ins(registered):
    declared = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"]
    registered("trimtab", declared["trimtab.scorers"])
