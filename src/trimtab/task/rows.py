"""Reads the rows of JSONL, CSV and Parquet files one at a time, in bounded memory.

A row that cannot be read is handed on as a `BadRow`, so that whoever reads can list several.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from trimtab.errors import DataError
from trimtab.task.contract import check_encodable, compact_json, strict_json

MAX_LINE_BYTES = 10 * 1024 * 1024
_PARQUET_BATCH = 1024


class RawRow(NamedTuple):
    """One row as the file has it. `line` is the file's line; for Parquet, the row's number."""

    line: int
    fields: dict[str, JsonValue]


class BadRow(NamedTuple):
    line: int
    problem: str


class TextLine(NamedTuple):
    line: int
    text: str


def raw_rows(path: Path) -> Iterator[RawRow | BadRow]:
    """The rows of `path`, by its extension: .jsonl or .json (one object a line), .csv, .parquet.

    Raises:
        DataError: the file cannot be opened, or is of another kind.
    """
    readers = {".jsonl": _jsonl, ".json": _jsonl, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise DataError(
            f"{path}: unknown kind of file {path.suffix!r}; use one of: {', '.join(readers)}"
        )
    check_readable(path)
    return reader(path)


def check_readable(path: Path) -> None:
    """Raises DataError where `path` is no file that can be opened, or is empty."""
    if not path.exists():
        raise DataError(f"{path}: there is no such file; `data.path` is relative to the task file")
    if not path.is_file():
        raise DataError(f"{path}: this is not a file")
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if empty:
        raise DataError(f"{path}: the file is empty")


def text_lines(path: Path) -> Iterator[TextLine | BadRow]:
    """Lines of a UTF-8 file, none of which ever takes more than `MAX_LINE_BYTES` of memory."""
    with path.open("rb") as file:
        number, start = 0, 0
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_LINE_BYTES)
                yield BadRow(number, "longer than 10 MB; one row a line, or leave this one out")
            else:
                try:
                    text = line.decode()
                except UnicodeDecodeError as error:
                    at = start + error.start
                    yield BadRow(number, f"not UTF-8 at byte {at} of the file; save it as UTF-8")
                else:
                    yield TextLine(number, text.removeprefix("\ufeff") if number == 1 else text)
            start = file.tell()


def _jsonl(path: Path) -> Iterator[RawRow | BadRow]:
    for line in text_lines(path):
        if isinstance(line, BadRow):
            yield line
        elif line.text.strip():
            yield _json_row(line)


def _json_row(line: TextLine) -> RawRow | BadRow:
    try:
        value = strict_json(line.text)
    except ValueError as error:
        hint = "; write one whole JSON object a line" if line.line == 1 else ""
        return BadRow(line.line, f"{error}{hint}")
    if not isinstance(value, dict):
        return BadRow(
            line.line, "expected one JSON object a line, such as {...}, found another value"
        )
    return RawRow(line.line, value)


def _csv(path: Path) -> Iterator[RawRow | BadRow]:
    broken: list[BadRow] = []

    def texts() -> Iterator[str]:
        for line in text_lines(path):
            if isinstance(line, BadRow):
                broken.append(line)  # what follows may be inside its quotes: reading ends here
                return
            yield line.text

    csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
    reader = csv.reader(texts(), strict=True)
    header: list[str] = []
    before = 0
    try:
        for cells in reader:
            start, before = before + 1, reader.line_num
            if not cells:
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                if len(set(header)) < len(header):
                    yield BadRow(start, "two columns have the same name; rename one")
                    return
            elif len(cells) != len(header):
                yield BadRow(start, f"{len(cells)} cells, but the header has {len(header)}")
            else:
                yield RawRow(start, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        if not broken:
            yield BadRow(before + 1, f"not CSV: {error}")
    yield from broken


def _parquet(path: Path) -> Iterator[RawRow | BadRow]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow; install it with `pip install trimtab[parquet]`"
        ) from None
    try:
        file = pq.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
            for fields in batch.to_pylist():
                number += 1
                yield _parquet_row(number, fields)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: not a Parquet file that can be read: {error}") from error


def _parquet_row(number: int, fields: dict[str, object]) -> RawRow | BadRow:
    try:
        plain = {name: _plain(value) for name, value in fields.items() if value is not None}
        check_encodable(compact_json(plain))
    except ValueError as error:
        return BadRow(number, str(error))
    return RawRow(number, plain)


def _plain(value: object) -> JsonValue:
    """`value` as JSON. Nulls in structs go: Arrow cannot tell an absent key from a null one."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is not a JSON number")
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise ValueError(f"a value of type {type(value).__name__} is not text, number or JSON")
