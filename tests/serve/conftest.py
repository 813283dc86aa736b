from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .servers import decided_task, promote, running
from .stepping import WordByWord


@pytest.fixture(scope="session")
def decided(tmp_path_factory):
    """A task folder with a finished run, and its decision. Only read."""
    root = tmp_path_factory.mktemp("decided")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        return root / "task", decided_task(root / "task")


@pytest.fixture
def folder(decided, tmp_path) -> Path:
    """A task folder of one's own with a finished run."""
    return shutil.copytree(decided[0], tmp_path / "task", symlinks=True)


@pytest.fixture
def decision(decided):
    return decided[1]


@pytest.fixture
def url(tmp_path) -> str:
    return str(tmp_path / "production.sqlite")


@pytest.fixture
def writer():
    """An engine that waits at each word; let go at the end."""
    made = WordByWord()
    yield made
    made.free.set()


@pytest.fixture
def server(folder, url):
    """A server whose champion is the run's winner."""
    promote(folder, url)
    with running(folder, url) as started:
        yield started
