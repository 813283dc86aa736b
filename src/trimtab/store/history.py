"""What the runs of a task say together: how often it changed, and how often it was tested."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

from trimtab.errors import RunError
from trimtab.store.run import TEST_OPENINGS, read_info

_MEANING = ("instructions", "output", "metric")
"""The settings that say what the task is; goals, prices and budgets may change freely."""


def task_changes(root: Path) -> tuple[int, date | None]:
    """How often instructions, output or metric changed over the runs in `root/runs`, and the day
    of the first run after the last change. Runs that cannot be read are passed over."""
    changes, last_changed, last = 0, None, None
    for folder in sorted((root / "runs").glob("*-*")):
        try:
            info = read_info(folder)
        except RunError:
            continue
        settings = info.settings if isinstance(info.settings, dict) else {}
        meaning = [settings.get(key) for key in _MEANING]
        if last is not None and meaning != last:
            changes, last_changed = changes + 1, info.created.date()
        last = meaning
    return changes, last_changed


def test_uses(run: Path) -> int | None:
    """How often this run and the others beside it opened the test rows that this run opened.

    Opened again for the same reason, as a run does that was cut off, they count once a run. None
    where this run opened none. Lines that a kill left unfinished are passed over.
    """
    own = _openings(run)
    if not own:
        return None
    content = own[-1]["content"]
    return sum(
        len({line["reason"] for line in _openings(folder) if line["content"] == content})
        for folder in run.parent.glob("*-*")
    )


def _openings(run: Path) -> list[dict[str, str]]:
    path = run / TEST_OPENINGS
    found = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found
