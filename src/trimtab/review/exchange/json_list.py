"""Files that hold one JSON list of objects, as labelling tools write them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import JsonValue

from trimtab.errors import DataError
from trimtab.task.contract import compact_json, strict_json
from trimtab.task.rows import check_readable

MOST_BYTES = 200 * 1024 * 1024


def objects(path: Path) -> Iterator[tuple[dict[str, JsonValue], str]]:
    """The objects of the list, each with `file:number` for messages.

    Raises:
        DataError: it is no such file.
    """
    check_readable(path)
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"{path}: larger than {MOST_BYTES // 2**20} MB; part it")
    try:
        found = strict_json(path.read_text("utf-8"))
    except ValueError as error:  # of which a wrong encoding is one
        raise DataError(f"{path}: {error}") from None
    if not isinstance(found, list):
        raise DataError(f"{path}: expected one JSON list, [...]")
    for number, each in enumerate(found, start=1):
        where = f"{path}:entry {number}"
        if not isinstance(each, dict):
            raise DataError(f"{where}: expected an object, {{...}}")
        yield each, where


def as_text(value: JsonValue) -> str | None:
    """A text, or JSON as one; None for nothing."""
    return value if value is None or isinstance(value, str) else compact_json(value)
