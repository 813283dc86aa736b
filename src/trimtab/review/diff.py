"""What changed from one text to another, word by word."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

MOST_TOKENS = 1_500
"""Comparing is quadratic in what lies between the first and the last difference; longer parts count
as replaced."""

_TOKEN = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Piece:
    kind: Literal["same", "gone", "new"]
    text: str


def changes(before: str, after: str) -> list[Piece]:
    """Pieces that give `before` without the new ones, and `after` without those gone."""
    old, new = _TOKEN.findall(before), _TOKEN.findall(after)
    start = _common(old, new)
    end = _common(old[start:][::-1], new[start:][::-1])
    middle_old, middle_new = old[start : len(old) - end], new[start : len(new) - end]
    pieces = [Piece("same", "".join(old[:start]))]
    if max(len(middle_old), len(middle_new)) > MOST_TOKENS:
        pieces += [Piece("gone", "".join(middle_old)), Piece("new", "".join(middle_new))]
    else:
        matcher = SequenceMatcher(None, middle_old, middle_new, autojunk=False)
        for tag, a, b, c, d in matcher.get_opcodes():
            if tag == "equal":
                pieces.append(Piece("same", "".join(middle_old[a:b])))
            else:
                pieces.append(Piece("gone", "".join(middle_old[a:b])))
                pieces.append(Piece("new", "".join(middle_new[c:d])))
    pieces.append(Piece("same", "".join(old[len(old) - end :])))
    return [piece for piece in pieces if piece.text]


def _common(left: list[str], right: list[str]) -> int:
    """How many first tokens are the same."""
    count = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        count += 1
    return count
