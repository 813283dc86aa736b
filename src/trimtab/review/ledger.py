"""Writes `reviewed.jsonl`: one line for each change of what an item came to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from trimtab.store import files
from trimtab.store.reviews import Item, Outcome
from trimtab.task.reviewed import REVIEWED_FILE, Reviewed, read_reviewed


class Ledger:
    """The file of one task folder. Several processes may write to it, one at a time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / REVIEWED_FILE
        self._kept: dict[str, Reviewed] = {}
        self._read_at = -1

    def write(self, items: Sequence[tuple[Item, Outcome | None]]) -> int:
        """Say what these items come to now, None being nothing; how many lines it took. What the
        file says already is not said again.

        Raises:
            DataError: the file is damaged.
            DiskFull: it is as it was before.
        """
        with self._only_writer():
            self._refresh()
            lines = []
            for item, outcome in items:
                kept = self._kept.get(item.id)
                if outcome is not None and kept != (line := _line(item, outcome)):
                    lines.append(line)
                elif outcome is None and kept is not None:
                    lines.append(_withdrawn(kept))
            files.append(self._path, lines)
            for line in lines:
                self._kept.pop(line.id, None)
                if line.action != "withdraw":
                    self._kept[line.id] = line
            self._read_at = self._size()
        return len(lines)

    def _refresh(self) -> None:
        """Read the file where another process, or a person, changed it."""
        if self._size() != self._read_at:
            self._kept = {line.id: line for line, _ in read_reviewed(self._folder)}

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    @contextmanager
    def _only_writer(self) -> Iterator[None]:
        lock = files.lock(self._folder / f".{REVIEWED_FILE}.lock", wait=True)
        try:
            yield
        finally:
            os.close(lock)


def _line(item: Item, outcome: Outcome) -> Reviewed:
    return Reviewed(
        id=item.id,
        action=outcome.action,
        input=item.input,
        output=outcome.target,
        approved_by=", ".join(outcome.by) if outcome.target is not None else None,
        reviewed=outcome.time,
        source=item.source,
        origin=item.origin,
        time=item.time,
    )


def _withdrawn(line: Reviewed) -> Reviewed:
    changes = {
        "action": "withdraw",
        "output": None,
        "approved_by": None,
        "reviewed": datetime.now(UTC),
    }
    return line.model_copy(update=changes)
