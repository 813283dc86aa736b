"""The guidelines beside an item: plain text with headings and lists, never markup."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trimtab.errors import TaskError
from trimtab.task.spec import Task

LONGEST = 100_000


@dataclass(frozen=True)
class Block:
    """A heading or paragraph with one line, or a list with one line an entry."""

    kind: Literal["heading", "paragraph", "list"]
    lines: tuple[str, ...]


def read_guidelines(task: Task, folder: Path, file: str | None) -> list[Block]:
    """From the file, or else the task's instructions.

    Raises:
        TaskError: the file cannot be read.
    """
    if file is None:
        return list(blocks(task.instructions))
    try:
        text = (folder / file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TaskError(f"{folder / file}: guidelines cannot be read: {error}") from error
    return list(blocks(text[:LONGEST]))


def blocks(text: str) -> Iterator[Block]:
    """`# ` begins a heading, `- ` or `* ` an entry of a list; an empty line ends a paragraph."""
    words: list[str] = []
    entries: list[str] = []
    for line in [*text.splitlines(), ""]:
        stripped = line.strip()
        is_entry = stripped.startswith(("- ", "* "))
        is_heading = stripped.startswith("#")
        if words and (not stripped or is_entry or is_heading):
            yield Block("paragraph", (" ".join(words),))
            words = []
        if entries and not is_entry and not (stripped and line[:1] in " \t"):
            yield Block("list", tuple(entries))
            entries = []
        if is_entry:
            entries.append(stripped[2:].strip())
        elif is_heading:
            yield Block("heading", (stripped.lstrip("#").strip(),))
        elif entries and stripped:
            entries[-1] += f" {stripped}"
        elif stripped:
            words.append(stripped)
