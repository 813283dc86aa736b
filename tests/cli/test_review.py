"""`trimtab review` and `trimtab reviewer`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time

import httpx
import pytest

from decisions import write_task
from review.pages import Browser, add_items, item
from trimtab.store.database import Database
from trimtab.store.reviewers import find_reviewer, password_is


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.delenv("TRIMTAB_DATABASE", raising=False)
    return write_task(tmp_path / "task")


def url(folder) -> str:
    return str(folder / "production.sqlite")


def test_reviewers_are_made_listed_and_revoked(trimtab, folder) -> None:
    made = trimtab("reviewer", "add", folder, "--name", "reviewer-1", "--role", "admin")
    assert made.code == 0, made.err
    database = Database(url(folder))
    kept = find_reviewer(database, "names", "reviewer-1")
    database.close()
    assert password_is(kept, made.out.strip())
    listed = trimtab("reviewer", "list", folder)
    assert "reviewer-1  admin  in use" in listed.out
    assert made.out.strip() not in listed.out
    assert trimtab("reviewer", "add", folder, "--name", "reviewer-1").code == 2
    assert trimtab("reviewer", "revoke", folder, "--name", "reviewer-1").code == 0
    assert "revoked" in trimtab("reviewer", "list", folder).out


def test_without_a_reviewer_the_pages_do_not_start(trimtab, folder) -> None:
    ended = trimtab("review", folder)
    assert (ended.code, "reviewer add" in ended.err) == (2, True)


def test_without_a_name_the_pages_do_not_listen_everywhere(trimtab, folder) -> None:
    trimtab("reviewer", "add", folder, "--name", "reviewer-1")
    ended = trimtab("review", folder, "--host", "0.0.0.0")
    assert (ended.code, "public_url" in ended.err) == (2, True)


def test_export_and_import(trimtab, folder, tmp_path) -> None:
    file = tmp_path / "new.jsonl"
    file.write_text('{"input": "Hugo Dale", "output": "person"}\n')
    ended = trimtab("review", folder, "--import", file, "--by", "reviewer-1")
    assert ended.out == "1 new items, 1 reviews; 0 that said nothing new.\n"
    out = tmp_path / "out.json"
    assert trimtab("review", folder, "--export", out).code == 2, "which format?"
    assert trimtab("review", folder, "--export", out, "--format", "argilla").code == 0
    assert json.loads(out.read_text("utf-8"))[0]["fields"] == {"input": "Hugo Dale"}
    ended = trimtab("review", folder, "--export", out, "--format", "label-studio")
    assert '<Choice value="company"/>' in ended.out


def test_the_command_serves_the_pages_and_ends_well(trimtab, folder) -> None:
    password = trimtab("reviewer", "add", folder, "--name", "reviewer-1").out.strip()
    add_items(url(folder), item())
    command = [sys.executable, "-m", "trimtab.cli", "review", str(folder), "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        base = address(running)
        browser = Browser(base)
        browser.log_in("reviewer-1", password)
        assert "Anna Brown" in browser.get("/review")
    finally:
        running.send_signal(signal.SIGTERM)
        assert running.wait(timeout=30) == 0


def address(running) -> str:
    """From uvicorn's own line in the log."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        line = running.stderr.readline()
        if found := re.search(r"http://127\.0\.0\.1:([1-9]\d*)", line):
            base = found[0]
            assert httpx.get(f"{base}/health").status_code == 200
            return base
    raise AssertionError("the pages did not start")
