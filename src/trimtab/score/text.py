"""Free text with one right answer."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pydantic import JsonValue

from trimtab.errors import DataError, TaskError
from trimtab.score.base import ContractScorer, Scorer
from trimtab.score.numbers import read_number
from trimtab.task.spec import Scoring, Tolerance
from trimtab.types import OutputContract

if TYPE_CHECKING:
    import regex

QUOTES = "\"'`´“”‘’„‚«»‹›"
SENTENCE_MARKS = ".,;:!?…。、！？"
"""Stripped at the end only: at the start, `.5` and `!important` mean something else without it."""

PATTERN_SECONDS = 1.0
"""A pattern that takes longer on one text may never end: some backtrack without limit."""

Part = Callable[[str, str], float]
"""(answer, target) -> the value of one metric."""


def from_contract(contract: OutputContract, scoring: Scoring | None = None) -> Scorer:
    """Scores `exact` (surrounding whitespace aside) and `normalized_exact`, and of `number`,
    `pattern` and `chrf` those that `scoring` asks for.

    Raises TaskError where `chrf` is asked for and sacrebleu is not installed.
    """
    parts: dict[str, Part] = {"exact": _exact, "normalized_exact": _normalized_exact}
    if scoring is not None and scoring.number is not None:
        parts["number"] = partial(_number, scoring.number)
    if scoring is not None and scoring.pattern is not None:
        parts["pattern"] = _pattern(scoring.pattern)
    if scoring is not None and scoring.chrf:
        parts["chrf"] = _chrf()

    def judge(answer: JsonValue, target: JsonValue) -> dict[str, float]:
        return {name: part(str(answer), str(target)) for name, part in parts.items()}

    return ContractScorer(contract, tuple(parts), judge)


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


def _exact(answer: str, target: str) -> float:
    return float(answer.strip() == target.strip())


def _normalized_exact(answer: str, target: str) -> float:
    return float(normalized(answer) == normalized(target))


def _number(tolerance: Tolerance, answer: str, target: str) -> float:
    wanted, given = read_number(target), read_number(answer)
    if wanted is None:
        raise DataError(
            f"the target {target[:80]!r} is no number, and `scoring.number` compares numbers; "
            "correct the row, or leave the key out"
        )
    return float(given is not None and tolerance.allows(given, wanted))


def _pattern(pattern: str) -> Part:
    """1 where the pattern is found in the answer and its group, if it has one, holds what it holds
    in the target; a target without the pattern is itself what the group must hold."""
    import regex

    compiled = regex.compile(pattern)

    def part(answer: str, target: str) -> float:
        found = _search(compiled, answer)
        if found is None or not compiled.groups:
            return float(found is not None)
        in_target = _search(compiled, target)
        wanted = target if in_target is None else in_target.group(1)
        return float(_bare(found.group(1)) == _bare(wanted))

    return part


def _search(pattern: regex.Pattern[str], text: str) -> regex.Match[str] | None:
    try:
        return pattern.search(text, timeout=PATTERN_SECONDS)
    except TimeoutError:
        raise DataError(
            f"`scoring.pattern` takes more than {PATTERN_SECONDS:g} s on {text[:80]!r}; "
            "write it without repeats inside repeats"
        ) from None


def _bare(group: str | None) -> str | None:
    """A group that took no part in the match holds nothing."""
    return None if group is None else group.strip()


def _chrf() -> Part:
    """Mean F2 over character n-grams up to 6 (Popović 2015, WMT), as sacrebleu has it."""
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise TaskError(
            f"scoring.chrf needs sacrebleu ({error}); install it: pip install 'trimtab[chrf]'"
        ) from error
    measure = CHRF()

    def part(answer: str, target: str) -> float:
        # Rounding in its sums may end a hair above 1.
        return min(1.0, float(measure.sentence_score(answer, [target]).score) / 100)

    return part
