from __future__ import annotations

from pathlib import Path

import pytest

from decisions import write_task

from .pages import add_people, reviewing


@pytest.fixture
def folder(tmp_path) -> Path:
    """A label task without a run."""
    return write_task(tmp_path / "task")


@pytest.fixture
def url(tmp_path) -> str:
    return str(tmp_path / "production.sqlite")


@pytest.fixture
def server(folder, url):
    """With the reviewers `reviewer-1`, `reviewer-2` and `admin-1`."""
    add_people(url, "reviewer-1", "reviewer-2", "admin-1")
    with reviewing(folder, url) as started:
        yield started
