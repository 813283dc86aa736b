"""The items of the retention suite: bundled ones, and those of the user.

Three kinds. An `Ask` is a chat message whose answer a program checks. A `Choice` is the beginning
of a sentence with several ends; the right one must be the likeliest. A `Passage` is plain text, of
which the model's probability counts. A choice is judged by likelihood and not by the letter that a
model writes, because small models know the end of a sentence long before they can name it by a
letter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from trimtab.errors import DataError
from trimtab.tune.retention.checks import Checks
from trimtab.types import Noun, content_hash

SECTIONS = ("instructions", "arithmetic", "formats", "knowledge", "text")
"""The bundled ones: one file each."""
QUICK = 3
"""The quick suite holds every third of the bundled items."""


class _Item(Noun):
    section: str = ""

    @property
    def id(self) -> str:
        return content_hash(self.model_dump_json(exclude={"section"}))


class Ask(_Item):
    """A message to the model. It is scored by the share of its checks that the answer passes."""

    prompt: str = Field(min_length=1)
    checks: Checks
    max_tokens: int = Field(default=48, ge=1)


class Choice(_Item):
    """`text` and its possible ends, of which the first is right. Scored 1 where that is likeliest
    per byte, else 0."""

    text: str = Field(min_length=1)
    options: tuple[Annotated[str, Field(min_length=1)], ...] = Field(min_length=2)


class Passage(_Item):
    """Plain text. Scored by the geometric mean of the probability of its bytes, 2^-(bits per byte),
    which lies in 0 to 1 as the other scores do."""

    text: str = Field(min_length=1)


Item = Ask | Choice | Passage


@dataclass(frozen=True)
class Suite:
    """What is asked of a model with and without the adapter."""

    items: tuple[Item, ...]
    complete: bool
    """False for the quick suite."""

    @property
    def sha(self) -> str:
        return content_hash(*(text for item in self.items for text in (item.section, item.id)))


def load_suite(own: Path | None = None, *, quick: bool = False) -> Suite:
    """The bundled items (`quick`: every third of each section), then all those in the file `own`.

    The asks come first, so that they are answered in full batches.

    Raises `DataError` where `own` cannot be used, with the line that is wrong.
    """
    items: list[Item] = []
    for section in SECTIONS:
        items += _items(section, _bundled(section), section)[:: QUICK if quick else 1]
    if own is not None:
        items += _items(str(own), _text_of(own), own.stem)
    if len({item.id for item in items}) < len(items):
        raise DataError(f"{own}: an item stands twice, or is one of the bundled ones; delete it")
    asks = [item for item in items if isinstance(item, Ask)]
    texts = [item for item in items if not isinstance(item, Ask)]
    return Suite((*asks, *texts), complete=not quick)


def load_replay() -> list[str]:
    """General prompts that are in no suite, for replaying the base's own answers in training."""
    return [json.loads(line)["prompt"] for line in _bundled("replay").splitlines()]


def _bundled(name: str) -> str:
    return (files("trimtab.tune.retention") / "data" / f"{name}.jsonl").read_text("utf-8")


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: cannot be read ({error}); constraints.retention_suite names a JSONL file, "
            "relative to the task file"
        ) from error


def _items(name: str, text: str, section: str) -> list[Item]:
    """Items of one JSONL file; those that name no section belong to `section`."""
    return [
        _item(f"{name}:{number}", line, section)
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]


def _item(where: str, line: str, section: str) -> Item:
    forms = "a line is {prompt, checks}, {text, options} or {text} (docs/retention.md)"
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: this is no JSON; {forms}") from error
    if not isinstance(raw, dict):
        raise DataError(f"{where}: this is no JSON object; {forms}")
    kind = Ask if "prompt" in raw else Choice if "options" in raw else Passage
    try:
        return kind.model_validate_json(json.dumps({"section": section} | raw))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the line"
        raise DataError(f"{where}: {key}: {first['msg']}; {forms}") from error
