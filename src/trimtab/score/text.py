"""Free text with one right answer."""

from __future__ import annotations

import unicodedata

from pydantic import JsonValue

from trimtab.score.base import ContractScorer, Scorer
from trimtab.types import OutputContract

QUOTES = "\"'`´“”‘’„‚«»‹›"
SENTENCE_MARKS = ".,;:!?…。、！？"
"""Stripped at the end only: at the start, `.5` and `!important` mean something else without it."""


def from_contract(contract: OutputContract) -> Scorer:
    """Scores `exact` (surrounding whitespace aside) and `normalized_exact`."""
    return ContractScorer(contract, ("exact", "normalized_exact"), _judge)


def normalized(text: str) -> str:
    """Text without differences of case, spacing, Unicode composition and outer punctuation.

    Outer punctuation is quotes on both sides and sentence marks at the end; signs, brackets and
    currency stay, because `-5`, `(5)` and `$5` are not `5`. Text that is nothing but punctuation
    is kept whole: `?` is not `!`.
    """
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    spaced = " ".join(folded.split())
    bare = spaced.lstrip(QUOTES + " ").rstrip(QUOTES + SENTENCE_MARKS + " ")
    return bare or spaced


def _judge(answer: JsonValue, target: JsonValue) -> dict[str, float]:
    given, wanted = str(answer), str(target)
    return {
        "exact": float(given.strip() == wanted.strip()),
        "normalized_exact": float(normalized(given) == normalized(wanted)),
    }
