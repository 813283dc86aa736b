"""Approved and corrected items as rows of JSONL or CSV: labelled data, as `data.path` takes it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from trimtab.errors import DataError
from trimtab.review.exchange.entries import Entry, Exported, Said, read_time
from trimtab.store.reviews import Action
from trimtab.task.contract import compact_json
from trimtab.task.rows import BadRow, RawRow, raw_rows

COLUMNS = (
    "id", "input", "output", "approved_by", "time", "action", "answer", "comment", "source",
    "origin", "reason", "probability",
)  # fmt: skip
_ACTIONS: Mapping[str, Action] = {"approve": "approve", "correct": "correct", "reject": "reject"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Cells that begin so are run by spreadsheets as formulas (OWASP, CSV Injection)."""


def to_jsonl(items: Iterable[Exported]) -> str:
    return "".join(
        json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in _rows(items)
    )


def to_csv(items: Iterable[Exported]) -> str:
    """No cell can act as a formula: those that would begin with an apostrophe, which reading takes
    away again."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in _rows(items):
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return file.getvalue()


def from_rows(path: Path) -> Iterator[Entry]:
    """Entries of a JSONL or CSV file with `input` and, where it was judged, `output`.

    Raises:
        DataError: naming the line that cannot be read.
    """
    guarded = path.suffix.lower() == ".csv"
    for row in raw_rows(path):
        where = f"{path}:{row.line}"
        if isinstance(row, BadRow):
            raise DataError(f"{where}: {row.problem}")
        yield _entry(row, where, guarded)


def _rows(items: Iterable[Exported]) -> Iterator[dict[str, JsonValue]]:
    for each in items:
        item, outcome = each.item, each.outcome
        if outcome is None or outcome.target is None:
            continue
        comments = [f"{said.reviewer}: {said.comment}" for said in each.reviews if said.comment]
        yield {
            "id": item.id,
            "input": item.input,
            "output": outcome.target,
            "approved_by": ", ".join(outcome.by),
            "time": (item.time or outcome.time).isoformat(),
            "action": outcome.action,
            "answer": item.answer,
            "comment": "; ".join(comments),
            "source": item.source,
            "origin": item.origin,
            "reason": item.reason,
            "probability": item.probability,
        }


def _entry(row: RawRow, where: str, guarded: bool) -> Entry:
    fields = {name: _text(value, guarded) for name, value in row.fields.items()}
    text = fields.get("input") or ""
    if not text.strip():
        raise DataError(f"{where}: has no `input`")
    output, action = fields.get("output") or None, fields.get("action") or None
    if action is not None and action not in _ACTIONS:
        raise DataError(f"{where}: `action` is {action[:40]!r}; use one of: {', '.join(_ACTIONS)}")
    said: tuple[Said, ...] = ()
    if output is not None or action == "reject":
        kind: Action = "reject" if action == "reject" else "correct"
        reviewer = fields.get("approved_by") or None
        time = read_time(fields.get("reviewed"))
        said = (Said(reviewer, kind, output, fields.get("comment") or "", time),)
    answer = fields.get("answer") or None
    return Entry(where, fields.get("id") or None, text, answer, said)


def _cell(value: JsonValue) -> str:
    text = "" if value is None else value if isinstance(value, str) else compact_json(value)
    return f"'{text}" if text.startswith(("'", *_FORMULA)) else text


def _text(value: JsonValue, guarded: bool) -> str | None:
    if value is None:
        return None
    text = value if isinstance(value, str) else compact_json(value)
    if guarded and text.startswith("'") and text[1:].startswith(("'", *_FORMULA)):
        return text[1:]
    return text
