"""Versions of a task's data: each is kept whole under its content hash, and listed with its reason.

runs/data/
  versions.jsonl           one DataVersion a line, the oldest first
  1a2b3c4d5e6f7a8b.jsonl   the rows of one, in the form that a task file's `data.path` takes
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from trimtab.errors import InputError
from trimtab.store.files import append, json_line, read_nouns, write_atomic
from trimtab.task.data import dataset_hash, iter_examples
from trimtab.task.reviewed import REVIEWED_FILE
from trimtab.types import Example, Noun, OutputContract

_FOLDER = Path("runs", "data")
_LIST = "versions.jsonl"


class DataVersion(Noun):
    """One version."""

    hash: str
    """Of all that the rows say; a run has it as the identity of its data."""
    created: datetime
    who: str
    why: str
    rows: int
    reviewed: int
    """Rows that came from reviews."""
    parent: str | None = None
    """The version that was newest before it."""


@dataclass(frozen=True)
class DataChange:
    """What the second version has that the first has not, and the other way round, by example id.

    A row with another target counts as changed, and is in neither of the others.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


def keep_version(folder: Path, examples: Sequence[Example], who: str, why: str) -> DataVersion:
    """Keep these rows as the newest version; one with the same content is not kept twice.

    Raises:
        DiskFull: nothing was kept.
    """
    name = dataset_hash(examples)
    known = list_versions(folder)
    if (found := next((each for each in known if each.hash == name), None)) is not None:
        return found
    version = DataVersion(
        hash=name,
        created=datetime.now(UTC),
        who=who,
        why=why,
        rows=len(examples),
        reviewed=sum(example.source.startswith(REVIEWED_FILE) for example in examples),
        parent=known[-1].hash if known else None,
    )
    text = b"".join(json_line(_row(example)) for example in examples).decode()
    write_atomic(version_path(folder, name), text)
    append(folder / _FOLDER / _LIST, [version])
    return version


def list_versions(folder: Path) -> list[DataVersion]:
    """The oldest first; pruned ones are left out."""
    found = read_nouns(folder / _FOLDER / _LIST, DataVersion)
    return [each for each in found if version_path(folder, each.hash).exists()]


def version_path(folder: Path, name: str) -> Path:
    return folder / _FOLDER / f"{name}.jsonl"


def read_version(folder: Path, name: str, contract: OutputContract) -> list[Example]:
    """The rows of a version, by its hash or the first characters of it.

    Raises:
        InputError: no version, or more than one, begins so.
    """
    found = [each for each in list_versions(folder) if each.hash.startswith(name)]
    if len(found) != 1:
        raise InputError(
            f"{len(found)} dataset versions of {folder} begin with {name!r}; "
            "`trimtab versions` lists them"
        )
    return list(iter_examples(version_path(folder, found[0].hash), contract))


def compare_data(before: Sequence[Example], after: Sequence[Example]) -> DataChange:
    """Linear in the rows."""
    old, new = ({row.id: row for row in rows} for rows in (before, after))
    gone = Counter(row.input for row in before if row.id not in new)
    changed, added = [], []
    for identity, row in new.items():
        if identity in old:
            continue
        if gone[row.input] > 0:
            gone[row.input] -= 1
            changed.append(identity)
        else:
            added.append(identity)
    kept = Counter(new[identity].input for identity in changed)
    removed = []
    for identity, row in old.items():
        if identity in new:
            continue
        if kept[row.input] > 0:
            kept[row.input] -= 1
        else:
            removed.append(identity)
    return DataChange(tuple(added), tuple(removed), tuple(changed))


def _row(example: Example) -> dict[str, JsonValue]:
    row: dict[str, JsonValue] = {"input": example.input, "output": example.target}
    if example.group is not None:
        row["group"] = example.group
    if example.time is not None:
        row["time"] = example.time.isoformat()
    if example.approved_by is not None:
        row["approved_by"] = example.approved_by
    return row
