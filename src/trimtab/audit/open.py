"""Brings the data of a task before the audit: from memory, or from a file larger than that."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.audit.subject import DEV, MAX_LISTED, TEST, TRAIN, Limit, Subject
from trimtab.engine.default_model import known_folder
from trimtab.errors import DataError
from trimtab.task.data import iter_examples, read_columns, read_traffic
from trimtab.task.load import load_task
from trimtab.task.near import near_duplicate_clusters
from trimtab.task.open import OpenTask
from trimtab.task.reviewed import with_reviews
from trimtab.task.spec import ModelSpec, Task
from trimtab.task.split import Split, place_rows
from trimtab.task.spool import Spool, Texts
from trimtab.types import Example

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_TEMPLATE_TOKENS = 64
"""Room for the chat template and the words about the output format."""


def subject_of(opened: OpenTask, listed: int = MAX_LISTED) -> Subject:
    """The data of a task that is in memory and split."""
    places = places_of(opened.examples, opened.split)
    return _subject(opened.task, opened.folder, opened.examples, opened.near, places, listed)


@contextmanager
def open_subject(path: Path, listed: int = MAX_LISTED) -> Iterator[tuple[Task, Subject]]:
    """The data of the task at `path`, in a temporary file: some 500 bytes of memory a row.

    Data that cannot be split (too few rows, say) is audited all the same. Raises `TaskError` or
    `DataError` for what cannot be read, and `DiskFull`.
    """
    task = load_task(path)
    folder = path if path.is_dir() else path.parent
    data = folder / task.data.path
    examples = iter_examples(data, task.output, task.data.approved_by)
    with Spool(with_reviews(examples, folder)) as rows:
        near = near_duplicate_clusters(Texts(rows, lambda row: row.input))
        places = _split(task, rows, near)
        yield task, _subject(task, folder, rows, near, places, listed)


def places_of(rows: Sequence[Example], split: Split) -> list[int]:
    """The splits that each row is in, as bits."""
    parts = (
        (TRAIN, (row.id for row in split.train)),
        (DEV, (row.id for row in split.dev)),
        (TEST, split.test.ids),
    )
    bits: dict[str, int] = {}
    for bit, ids in parts:
        for identity in ids:
            bits[identity] = bits.get(identity, 0) | bit
    return [bits.get(row.id, 0) for row in rows]


def _split(task: Task, rows: Sequence[Example], near: Sequence[int]) -> list[int] | None:
    ids: list[str] = []
    groups: list[str | None] = []
    for row in rows:
        ids.append(row.id)
        groups.append(row.group)
    try:
        places = place_rows(
            ids, groups, dev=task.data.dev, test=task.data.test, seed=task.seed, clusters=near
        )
    except DataError:
        return None  # the audit says so, and goes on
    bits = [0] * len(ids)
    for bit, part in ((TRAIN, places.train), (DEV, places.dev), (TEST, places.test)):
        for place in part:
            bits[place] |= bit
    return bits


def _subject(
    task: Task,
    folder: Path,
    rows: Sequence[Example],
    near: Sequence[int],
    places: Sequence[int] | None,
    listed: int,
) -> Subject:
    data = task.data
    columns = read_columns(folder / data.path, data.slices) if data.slices else {}
    absent = (None,) * len(data.slices)  # of rows that reviews added
    return Subject(
        rows=rows,
        clusters=near,
        places=places,
        contract=task.output,
        traffic=read_traffic(folder / data.traffic_sample) if data.traffic_sample else (),
        slices={
            name: [columns.get(row.source, absent)[place] for row in rows]
            for place, name in enumerate(data.slices)
        },
        limit=_limit(task.models.tune or task.models.prompt, task.instructions),
        seed=task.seed,
        listed=listed,
    )


def _limit(spec: ModelSpec, instructions: str) -> Limit | None:
    """The context of a model on this machine; None where it is not here."""
    folder = known_folder(spec.model) if spec.engine == "local" else None
    if folder is None or not (folder / "tokenizer.json").exists():
        return None
    config = json.loads((folder / "config.json").read_text("utf-8"))
    context = config.get("max_position_embeddings")
    if not isinstance(context, int):
        return None

    @cache
    def tokenizer() -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(folder / "tokenizer.json"))

    def count(text: str) -> int:
        return len(tokenizer().encode(text, add_special_tokens=False).ids)

    return Limit(context, len(instructions.encode()) + _TEMPLATE_TOKENS, count)
