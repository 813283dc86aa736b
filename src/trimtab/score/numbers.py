"""Numbers that count as right within a tolerance."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeGuard

from pydantic import JsonValue

from trimtab.task.spec import Tolerance

_NUMBER = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_LONGEST = 400
"""Characters of a number that are read; no finite one needs more."""
_BEYOND_FLOATS = 2**1000


def read_number(text: str) -> float | None:
    """The number that `text` is, whole: digits with an optional sign, commas between thousands, a
    decimal point and an exponent. None for anything else, and for what is not finite."""
    bare = text.strip()
    found = _NUMBER.fullmatch(bare) if len(bare) <= _LONGEST else None
    if found is None or not any(character.isdigit() for character in bare):
        return None
    try:
        value = float(bare.replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def snapped(
    answer: JsonValue, target: JsonValue, tolerances: Mapping[tuple[str, ...], Tolerance]
) -> JsonValue:
    """`answer` with every number that its tolerance allows replaced by the target's number.

    Afterwards the two can be compared for equality. Tolerances go by the keys that lead to a
    number, or to a list of numbers.
    """
    for path, tolerance in tolerances.items():
        answer = _snap_at(answer, target, path, tolerance)
    return answer


def _snap_at(
    answer: JsonValue, target: JsonValue, path: Sequence[str], tolerance: Tolerance
) -> JsonValue:
    if path:
        key = path[0]
        if not (isinstance(answer, dict) and isinstance(target, dict)):
            return answer
        if key not in answer or key not in target:
            return answer
        return answer | {key: _snap_at(answer[key], target[key], path[1:], tolerance)}
    if _is_number(answer) and _is_number(target):
        return target if tolerance.allows(answer, target) else answer
    if isinstance(answer, list) and isinstance(target, list):
        return _snap_list(answer, target, tolerance)
    return answer


def _snap_list(
    answer: list[JsonValue], target: list[JsonValue], tolerance: Tolerance
) -> list[JsonValue]:
    """As many numbers as possible replaced, each by a target of its own.

    Both ends of the range that a target allows grow with the target, so matching them in order of
    size, each to the smallest number that is left, matches as many as any matching does.
    """
    wanted = sorted(item for item in target if _is_number(item))
    given = sorted(item for item in answer if _is_number(item))
    kept: list[JsonValue] = [item for item in answer if not _is_number(item)]
    place = 0
    for number in wanted:
        while place < len(given) and given[place] < number:
            if tolerance.allows(given[place], number):
                break
            kept.append(given[place])
            place += 1
        if place < len(given) and tolerance.allows(given[place], number):
            kept.append(number)
            place += 1
    return kept + list(given[place:])


def _is_number(value: JsonValue) -> TypeGuard[int | float]:
    """Also not an integer beyond the range of floats, with which one cannot reckon."""
    return type(value) is float or (type(value) is int and abs(value) < _BEYOND_FLOATS)
