"""What earlier runs say about how often a task changed."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from trimtab.errors import RunError
from trimtab.store.run import read_info

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
