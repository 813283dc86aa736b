"""Constraints on an answer that a program can verify."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from typing import Any, Literal

from pydantic import JsonValue

from trimtab.score.text import normalized
from trimtab.types import Noun

Range = tuple[int, int]
"""Fewest and most."""

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
_WORD = re.compile(r"\S*\w\S*")
_SENTENCE = re.compile(r"[^.!?]*\w[^.!?]*(?:[.!?]+|\Z)")
_BULLET = re.compile(r"^\s*[-*•]\s+\S", re.MULTILINE)
_NUMBERED = re.compile(r"^\s*\d+[.)]\s+\S", re.MULTILINE)
_FENCE = re.compile(r"\A\s*```\w*\n(.*?)\n?```\s*\Z", re.DOTALL)


class Checks(Noun):
    """What is asked of one answer; what is left out is not asked. Case counts in `case` only."""

    equals: tuple[str, ...] | None = None
    """One of these, without regard to outer quotes and closing punctuation."""
    number: float | None = None
    """The last number in the answer: models like to repeat the question before its result."""
    contains: tuple[str, ...] | None = None
    """All of these."""
    lacks: tuple[str, ...] | None = None
    """None of these; with spaces around it, a whole word."""
    starts: str | None = None
    ends: str | None = None
    case: Literal["upper", "lower"] | None = None
    quoted: Literal[True] | None = None
    """The whole answer in double quotation marks."""
    words: Range | None = None
    sentences: Range | None = None
    lines: Range | None = None
    commas: Range | None = None
    """Parts between commas."""
    bullets: Range | None = None
    numbered: Range | None = None
    """Lines that begin with a number."""
    json_keys: tuple[str, ...] | None = None
    """The answer is a JSON object with exactly these keys."""
    json_items: Range | None = None
    """The answer is a JSON list of so many items."""
    csv: Range | None = None
    """(rows, columns) of the answer as CSV."""


def share_met(answer: str, checks: Checks) -> float:
    """Share of the checks that `answer` passes; an empty answer passes none."""
    asked = {
        name: value for name in Checks.model_fields if (value := getattr(checks, name)) is not None
    }
    if not answer.strip() or not asked:
        return 0.0
    return sum(_CHECKS[name](answer, value) for name, value in asked.items()) / len(asked)


def _equals(answer: str, wanted: tuple[str, ...]) -> bool:
    return normalized(answer) in {normalized(each) for each in wanted}


def _number(answer: str, wanted: float) -> bool:
    found = _NUMBER.findall(answer)
    return bool(found) and float(found[-1].replace(",", "")) == wanted


def _contains(answer: str, wanted: tuple[str, ...]) -> bool:
    return all(each.casefold() in _spaced(answer) for each in wanted)


def _lacks(answer: str, unwanted: tuple[str, ...]) -> bool:
    return not any(each.casefold() in f" {_spaced(answer)} " for each in unwanted)


def _spaced(answer: str) -> str:
    return " ".join(answer.casefold().split())


def _starts(answer: str, wanted: str) -> bool:
    return answer.lstrip().casefold().startswith(wanted.casefold())


def _ends(answer: str, wanted: str) -> bool:
    text = answer.rstrip().casefold()
    return text.endswith(wanted.casefold()) or text.rstrip(".!").endswith(wanted.casefold())


def _case(answer: str, wanted: str) -> bool:
    return answer.isupper() if wanted == "upper" else answer.islower()


def _quoted(answer: str, _: bool) -> bool:
    text = answer.strip()
    return len(text) > 2 and text[0] in '"“' and text[-1] in '"”'


def _json_keys(answer: str, wanted: tuple[str, ...]) -> bool:
    value = _json(answer)
    return isinstance(value, dict) and set(value) == set(wanted)


def _json_items(answer: str, wanted: Range) -> bool:
    value = _json(answer)
    return isinstance(value, list) and _within(len(value), wanted)


def _csv(answer: str, wanted: Range) -> bool:
    try:
        rows = [row for row in csv.reader(io.StringIO(_bare(answer))) if row]
    except csv.Error:
        return False
    return len(rows) == wanted[0] and all(len(row) == wanted[1] for row in rows)


def _json(answer: str) -> JsonValue:
    try:
        value: JsonValue = json.loads(_bare(answer))
    except (ValueError, RecursionError):
        return None
    return value


def _bare(answer: str) -> str:
    """The answer without a code fence around it, which chat models are taught to put there."""
    fenced = _FENCE.match(answer)
    return fenced.group(1) if fenced else answer.strip()


def _counts(pattern: re.Pattern[str]) -> Callable[[str, Range], bool]:
    return lambda answer, wanted: _within(len(pattern.findall(answer)), wanted)


def _lines(answer: str, wanted: Range) -> bool:
    return _within(sum(bool(line.strip()) for line in answer.splitlines()), wanted)


def _commas(answer: str, wanted: Range) -> bool:
    return _within(sum(bool(part.strip()) for part in answer.split(",")), wanted)


def _within(count: int, wanted: Range) -> bool:
    return wanted[0] <= count <= wanted[1]


_CHECKS: dict[str, Callable[[str, Any], bool]] = {
    "equals": _equals,
    "number": _number,
    "contains": _contains,
    "lacks": _lacks,
    "starts": _starts,
    "ends": _ends,
    "case": _case,
    "quoted": _quoted,
    "words": _counts(_WORD),
    "sentences": _counts(_SENTENCE),
    "lines": _lines,
    "commas": _commas,
    "bullets": _counts(_BULLET),
    "numbered": _counts(_NUMBERED),
    "json_keys": _json_keys,
    "json_items": _json_items,
    "csv": _csv,
}
