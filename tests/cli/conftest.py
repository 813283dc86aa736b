from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from decisions import write_task
from engine.endpoint import Endpoint
from trimtab import cli, pipeline
from trimtab.types import Decision


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str


@pytest.fixture
def trimtab(monkeypatch, capsys) -> Callable[..., Ended]:
    """Runs `trimtab` with the given arguments in this process, as from a wide terminal."""
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: object, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "argv", ["trimtab", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    yield server
    server.close()


@pytest.fixture(scope="package")
def decided(tmp_path_factory) -> tuple[Path, Decision]:
    """A folder whose task was decided, and the decision. Not to be changed: see `folder`."""
    root = tmp_path_factory.mktemp("decided")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        return root / "task", pipeline.decide(write_task(root / "task")).decision


@pytest.fixture
def folder(decided, tmp_path, monkeypatch) -> Path:
    """A copy of the decided folder, with a database of its own."""
    monkeypatch.delenv("TRIMTAB_DATABASE", raising=False)
    return shutil.copytree(decided[0], tmp_path / "task", symlinks=True)
