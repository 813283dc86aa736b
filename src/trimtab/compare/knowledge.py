"""How much of the task asks for what the input does not say: knowledge that tuning may dilute."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from pydantic import JsonValue

from trimtab.compare.intervals import mean_over_rows
from trimtab.types import Example, Knowledge, OutputContract

_WORD = re.compile(r"\w+")
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Letters of scripts that put no spaces between words: Thai, Lao, Burmese, Khmer, kana, Han."""
_MISSING = 0.5
"""A target of which this share of words or more is not in the input is not read off it."""


def knowledge(
    rows: Sequence[Example],
    contract: OutputContract,
    closed_book: Mapping[str, float],
    clusters: Mapping[str, str],
    seed: int = 0,
) -> Knowledge:
    """What targets say beyond their inputs, over `rows`; and how well the prompted model does it by
    the instructions alone, from its scores by row id.

    For labels nothing can be told by words: a label is chosen, not read.
    """
    beyond: dict[str, float] | None = None
    if contract.kind != "label":
        beyond = {row.id: float(says_more(row, contract)) for row in rows}
    needing = {
        row: score for row, score in closed_book.items() if beyond is not None and beyond.get(row)
    }
    return Knowledge(
        beyond_input=None if beyond is None else mean_over_rows(beyond, clusters, seed),
        closed_book=mean_over_rows(closed_book, clusters, seed) if closed_book else None,
        closed_book_beyond=mean_over_rows(needing, clusters, seed) if needing else None,
    )


def says_more(row: Example, contract: OutputContract) -> bool:
    """Whether half or more of the target's words are none of the input's, case aside.

    In scripts without spaces a run of letters counts as said where the input holds it anywhere.
    """
    text = row.target
    if contract.kind == "json":
        text = " ".join(_leaves(json.loads(row.target)))
    said, given = _WORD.findall(text.casefold()), row.input.casefold()
    words = frozenset(_WORD.findall(given))
    missing = sum(
        word not in words and not (_UNSPACED.search(word) and word in given) for word in said
    )
    return bool(said) and missing >= _MISSING * len(said)


def _leaves(value: JsonValue) -> Iterator[str]:
    if isinstance(value, dict):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from _leaves(part)
    elif value is not None:
        yield str(value)
