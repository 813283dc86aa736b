"""Writes all reviews of a task to a file, and takes reviews from one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from trimtab.errors import DataError, InputError
from trimtab.review.book import Book
from trimtab.review.exchange.argilla import from_argilla, to_argilla
from trimtab.review.exchange.entries import Entry, exported
from trimtab.review.exchange.label_studio import from_label_studio, to_label_studio
from trimtab.review.exchange.rows import from_rows, to_csv, to_jsonl
from trimtab.review.settings import load_settings
from trimtab.review.signals import canonical
from trimtab.store.database import Database
from trimtab.store.files import write_atomic
from trimtab.store.reviews import Batch, Item, add_batch, get_item, known_origins, last_batch
from trimtab.store.traces import new_id
from trimtab.store.trail import note
from trimtab.task.contract import violation
from trimtab.task.spec import Task
from trimtab.types import content_hash

Format = Literal["jsonl", "csv", "argilla", "label-studio"]

MOST_PROBLEMS = 5


@dataclass(frozen=True)
class Imported:
    """What came of a file."""

    items: int
    """New ones."""
    reviews: int
    passed_over: int
    """Entries that said nothing new: items that are settled, or were imported before."""


def export_reviews(
    database: Database, task: Task, folder: Path, file: Path, kind: Format, who: str
) -> int:
    """Write the reviews to `file`; how many items it holds. Rows are the approved and corrected
    items that `reviewed.jsonl` has too, the JSON of labelling tools has all items."""
    items = list(exported(database, task.name))
    if kind in ("jsonl", "csv"):
        masked_rows = load_settings(folder).masked_rows
        items = [each for each in items if each.outcome and each.outcome.target is not None]
        items = [each for each in items if masked_rows or not each.item.redacted]
        text = to_jsonl(items) if kind == "jsonl" else to_csv(items)
    elif kind == "argilla":
        text = to_argilla(items)
    else:
        text = to_label_studio(items, task.output)
    write_atomic(file, text)
    note(database, task.name, who, "exported", f"{len(items)} items as {kind}")
    return len(items)


def import_reviews(
    database: Database, task: Task, folder: Path, file: Path, kind: Format, who: str, by: str | None
) -> Imported:
    """Take the items and reviews of `file`. Entries of unknown items become new items.

    Args:
        by: whose reviews they are, where the file does not say it.

    Raises:
        DataError: with up to five problems; nothing is taken then.
    """
    entries = list(_read(file, kind))
    _check(task, entries, by)
    ids = _new_items(database, task, entries)
    book = Book(task, folder, masked_rows=load_settings(folder).masked_rows)
    reviews = passed_over = 0
    for entry, identity in zip(entries, ids, strict=True):
        for said in entry.said if identity is not None else ():
            try:
                book.take(
                    database,
                    said.reviewer or by or "",
                    identity or "",
                    said.action,
                    said.target,
                    said.comment,
                    time=said.time,
                    write=False,
                )
                reviews += 1
            except InputError:
                passed_over += 1  # settled, or judged by this person before
        passed_over += identity is None
    book.write_missing(database)
    pairs = zip(entries, ids, strict=True)
    items = sum(identity is not None and identity != entry.id for entry, identity in pairs)
    note(database, task.name, who, "imported", f"{items} items, {reviews} reviews of {kind}")
    return Imported(items, reviews, passed_over)


def _read(file: Path, kind: Format) -> Iterator[Entry]:
    if kind == "argilla":
        return from_argilla(file)
    if kind == "label-studio":
        return from_label_studio(file)
    return from_rows(file)


def _check(task: Task, entries: Iterable[Entry], by: str | None) -> None:
    """What is wrong is said before anything is taken."""
    problems = []
    for entry in entries:
        for said in entry.said:
            if not (said.reviewer or by):
                problems.append(f"{entry.where}: nobody is named; add --by NAME")
            elif said.target is not None and (why := violation(task.output, said.target)):
                problems.append(f"{entry.where}: the output breaks the task's contract: {why}")
        if len(problems) >= MOST_PROBLEMS:
            break
    if problems:
        raise DataError("\n".join(problems[:MOST_PROBLEMS]))


def _new_items(database: Database, task: Task, entries: Iterable[Entry]) -> list[str | None]:
    """Id of each entry's item, made where there is none; None where it was imported before."""
    known = known_origins(database, task.name, "import")
    last = last_batch(database, task.name)
    number = last.number + 1 if last else 1
    ids: list[str | None] = []
    items: list[Item] = []
    for entry in entries:
        if entry.id and entry.id.isalnum() and get_item(database, task.name, entry.id):
            ids.append(entry.id)
            continue
        origin = entry.id or content_hash(entry.input, entry.answer or "")
        if origin in known:
            ids.append(None)
            continue
        known.add(origin)
        items.append(_item(task, entry, origin, number, len(items)))
        ids.append(items[-1].id)
    if items:
        batch = Batch(
            task=task.name,
            number=number,
            time=datetime.now(UTC),
            source="import",
            until=items[-1].origin,
            frame=len(items),
            drawn=len(items),
        )
        if not add_batch(database, batch, items):
            raise InputError("another process drew items at this moment; import again")
    return ids


def _item(task: Task, entry: Entry, origin: str, number: int, place: int) -> Item:
    given = entry.answer or next((each.target for each in entry.said if each.target), None)
    ready = None if given is None else canonical(task.output, given)
    problem = None
    if ready is None:
        problem = "there is no answer yet" if given is None else violation(task.output, given)
    return Item(
        id=new_id(),
        task=task.name,
        batch=number,
        place=float(place),
        source="import",
        origin=origin,
        reason="import",
        input=entry.input,
        answer=ready or given or "",
        problem=problem,
    )
