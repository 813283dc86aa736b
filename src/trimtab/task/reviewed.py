"""`reviewed.jsonl`, beside the task file: what experts said, as rows that change the data.

The user's own file is never touched. Each line is one version of one reviewed item, with who and
when; the newest line of an item counts, so every earlier state can be read from the file too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from trimtab.errors import DataError
from trimtab.types import Example, Noun, content_hash

REVIEWED_FILE = "reviewed.jsonl"


class Reviewed(Noun):
    """One line of the file."""

    id: str
    """Of the review item."""
    action: Literal["approve", "correct", "reject", "withdraw"]
    """`reject`: the answer is wrong and nobody said what is right; a labelled row is left out.
    `withdraw`: what earlier lines of this item say was taken back."""
    input: str
    output: str | None = None
    """The approved target, as the contract writes it."""
    approved_by: str | None = None
    """One reviewer, or both, parted by a comma."""
    reviewed: datetime
    source: Literal["trace", "row", "import"]
    origin: str
    """Id of the trace, or of the labelled row as it was."""
    time: datetime | None = None
    """When the input came in."""


def with_reviews(rows: Iterable[Example], task_folder: Path) -> Iterator[Example]:
    """The rows of the user's file with what was reviewed: approved and corrected rows in their
    places, rejected ones left out, reviewed calls at the end.

    Raises:
        DataError: a line of `reviewed.jsonl` is damaged.
    """
    newest = read_reviewed(task_folder)
    of_rows = {line.origin: line for line, _ in newest if line.source == "row"}
    for row in rows:
        line = of_rows.get(row.id)
        if line is None:
            yield row
        elif line.output is not None:
            changes = {"approved_by": line.approved_by, "target": line.output}
            identity = content_hash(row.input, line.output)
            yield row.model_copy(update={**changes, "id": identity})
    for line, number in newest:
        if line.source != "row" and line.output is not None:
            yield Example(
                id=content_hash(line.input, line.output),
                input=line.input,
                target=line.output,
                time=line.time,
                approved_by=line.approved_by,
                source=f"{REVIEWED_FILE}:{number}",
            )


def read_reviewed(task_folder: Path) -> list[tuple[Reviewed, int]]:
    """The newest line of each item that was not withdrawn, with its number, in their order."""
    newest: dict[str, tuple[Reviewed, int]] = {}
    for line, number in reviewed_lines(task_folder):
        newest.pop(line.id, None)
        newest[line.id] = line, number
    return [found for found in newest.values() if found[0].action != "withdraw"]


def reviewed_lines(task_folder: Path) -> Iterator[tuple[Reviewed, int]]:
    """All lines with their numbers; none where there is no file. A last line without its end was
    cut off when it was written, and is passed over.

    Raises:
        DataError: a line is damaged.
    """
    path = task_folder / REVIEWED_FILE
    if not path.exists():
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield Reviewed.model_validate_json(line), number
            except ValidationError as error:
                problem = error.errors()[0]["msg"]
                raise DataError(
                    f"{path}:{number}: this line is damaged: {problem}; the file is written by "
                    "`trimtab review` alone, so bring a copy back, or take the line out"
                ) from error
