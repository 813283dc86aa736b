"""Train, dev and a sealed test: parted by content, so that nothing near-equal is on both sides."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from trimtab.errors import DataError, DiskFull
from trimtab.task.codes import Numbers, connected, digests, numbered
from trimtab.task.data import dataset_hash
from trimtab.types import Example, content_hash

MIN_TRAIN = 20
"""Fewer rows can neither be shown as varied demonstrations nor trained on. As few may not win as a
fine-tune, but show whether more would pay."""

FILLED = 0.9
"""A split that large groups leave below this share of its size is refused, not quietly smaller."""


class SealedTest:
    """The test rows, reachable only through `open`, which leaves a line in the run's log."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Iterable[Example]) -> None:
        self._rows = tuple(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"SealedTest({len(self)} rows)"

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(row.id for row in self._rows)

    def open(self, log: Path, reason: str) -> tuple[Example, ...]:
        """The rows, once the opening is on disk as one JSON line of `log`.

        Raises:
            DiskFull: the opening could not be logged, so the seal stays closed.
        """
        line = json.dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "reason": reason,
                "content": dataset_hash(self._rows),
                "rows": len(self),
            },
            ensure_ascii=False,
        )
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise DiskFull(f"{log}: no space to log the opening of the test rows") from error
            raise
        return self._rows


@dataclass(frozen=True)
class Split:
    """Disjoint rows of one dataset. Any prefix of `train` is a sample of it."""

    train: tuple[Example, ...]
    dev: tuple[Example, ...]
    test: SealedTest

    def __repr__(self) -> str:
        return f"Split(train={len(self.train)}, dev={len(self.dev)}, test={len(self.test)})"


@dataclass(frozen=True)
class Places:
    """Positions of the rows of each split in the dataset."""

    train: list[int]
    dev: list[int]
    test: list[int]


def make_split(
    examples: Sequence[Example],
    *,
    dev: int | None,
    test: int | None,
    seed: int,
    clusters: Sequence[int],
) -> Split:
    """Part the distinct rows into train, dev and test, as `place_rows` has it."""
    places = place_rows(
        [row.id for row in examples],
        [row.group for row in examples],
        dev=dev,
        test=test,
        seed=seed,
        clusters=clusters,
    )
    train, held_out, sealed = (
        tuple(examples[place] for place in part) for part in (places.train, places.dev, places.test)
    )
    return Split(train, held_out, SealedTest(sealed))


def place_rows(
    ids: Sequence[str],
    groups: Sequence[str | None],
    *,
    dev: int | None,
    test: int | None,
    seed: int,
    clusters: Sequence[int],
) -> Places:
    """Part the distinct rows into train, dev and test, by what is known of each.

    Rows of one group, of one near-duplicate cluster (`clusters`, one number a row), and of any
    chain of these, stay together. Such units are taken in the order of their seeded content hash,
    which the order of the file does not change: first into test, then into dev, as far as they fit
    whole; all others train. Units too large for the room left thus train, so where groups are
    large the test leans to small ones. Of exact copies only the first is used.

    Args:
        dev: rows for dev, by default as `held_out` has it.
        test: rows for test, likewise.

    Raises:
        DataError: too few rows, or groups too large to fill a split.
    """
    units = _units(ids, groups, clusters)
    total = sum(map(len, units))
    dev, test = held_out(total, dev, test)
    needed = test + dev + MIN_TRAIN
    if total < needed:
        raise DataError(
            f"{total} distinct rows are too few: {needed} are needed ({test} test, {dev} dev and "
            f"at least {MIN_TRAIN} train); add rows, or set smaller data.test and data.dev"
        )
    ordered = sorted(
        units, key=lambda unit: content_hash(str(seed), *(ids[place] for place in unit), length=64)
    )
    test_rows, ordered = _fill("test", test, ordered)
    dev_rows, ordered = _fill("dev", dev, ordered)
    train_rows = [place for unit in ordered for place in unit]
    if len(train_rows) < MIN_TRAIN:
        raise DataError(f"only {len(train_rows)} rows are left to train; {MIN_TRAIN} are needed")
    return Places(train_rows, dev_rows, test_rows)


def held_out(total: int, dev: int | None, test: int | None) -> tuple[int, int]:
    """Rows for dev and for test of `total` distinct ones. Where the task does not say: a tenth for
    dev, at least 20, at most 100, and a fifth for test, at least 30, at most 300."""
    dev = min(max(total // 10, 20), 100) if dev is None else dev
    test = min(max(total // 5, 30), 300) if test is None else test
    return dev, test


def labels_to_train(more_than: int, rows: int, dev: int | None, test: int | None) -> int:
    """Distinct rows to label until `rows` of all are left to train on, where `more_than` are now:
    some of the new ones go to dev and test."""
    return max(0, _labelled(rows, dev, test) - _labelled(more_than, dev, test))


def _labelled(train: int, dev: int | None, test: int | None) -> int:
    """The fewest distinct rows of which so many train."""
    total = train
    while (missing := train - total + sum(held_out(total, dev, test))) > 0:
        total += missing
    return total


def unit_numbers(
    ids: Sequence[str], groups: Sequence[str | None], clusters: Sequence[int]
) -> Numbers:
    """Number of the unit of each row: rows of a unit are copies, or share a group or a
    near-duplicate cluster, by any chain of these. Units are independent of each other."""
    numbers: dict[str, int] = {}
    grouped = [-1 if group is None else numbers.setdefault(group, len(numbers)) for group in groups]
    return connected((clusters, numbered(digests(ids)), grouped), len(ids))


def _units(
    ids: Sequence[str], groups: Sequence[str | None], clusters: Sequence[int]
) -> list[list[int]]:
    """Distinct rows, parted into lists that must stay together; rows in a list sorted by id."""
    units = unit_numbers(ids, groups, clusters)
    _, first = np.unique(numbered(digests(ids)), return_index=True)
    by_unit: list[list[int]] = [[] for _ in range(int(units.max(initial=-1)) + 1)]
    for place in np.sort(first).tolist():
        by_unit[units[place]].append(place)
    return [sorted(unit, key=ids.__getitem__) for unit in by_unit]


def _fill(name: str, size: int, units: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Rows of the first units that fit whole into `size`, and the units left."""
    taken: list[int] = []
    left: list[list[int]] = []
    for unit in units:
        if len(taken) + len(unit) <= size:
            taken += unit
        else:
            left.append(unit)
    if len(taken) < FILLED * size:
        largest = max(map(len, left))
        raise DataError(
            f"only {len(taken)} of {size} {name} rows can be filled: rows that share a group or "
            f"are near duplicates must stay together, and the largest such set holds {largest}; "
            "use finer groups, or add rows"
        )
    return taken, left
