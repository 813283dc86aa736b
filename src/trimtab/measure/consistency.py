"""The same question asked again: with another form of the input, in another layout, sampled.

A form of the input keeps its meaning for most tasks and not for all; each says when it does not.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from trimtab.measure.bench import Bench
from trimtab.prompt.styles import STYLES, styled, styles_of
from trimtab.types import Example, OutputContract, Record, Variant, content_hash

CONSISTENCY = "consistency"

CONSISTENCY_SHARE = 0.05
"""Share of the budget that is set aside for it beyond its least size. It takes more where the
stages after it leave more."""
SIZES = ((10, 2), (20, 2), (40, 2), (70, 2), (100, 2), (100, 3), (100, 5), (100, 9))
"""Dev rows, and variations of each source, taken one after the other: rows first, since intervals
hang on them most. A size asks all that the one before it asked, and more."""
MOST_SAMPLES = 5
_SPREAD_SPACES = 3
"""Spaces of an input that are doubled."""
_LEAST_LETTERS = 5
"""Of a word that gets a typing error: shorter ones turn into other words."""
_WORD = re.compile(r"[^\W\d_]+")
_LINE = re.compile(r"\s*[\w .-]{1,40}:\s")


@dataclass(frozen=True)
class Form:
    """A change of the input. `change` gives the input as it was where it cannot be made."""

    change: Callable[[str, Collection[str], random.Random], str]
    """Takes the input, the words of the target (in lower case), and a source of chance."""
    not_where: str
    """When the meaning is not preserved."""


def _lower_case(text: str, _: Collection[str], __: random.Random) -> str:
    return text.lower() if text != text.lower() else text.upper()


def _more_spaces(text: str, _: Collection[str], chance: random.Random) -> str:
    """Doubles some spaces between words of a line, and none that indents it."""
    places = [found.start() for found in re.finditer(r"(?<=\S) (?=\S)", text)]
    for place in sorted(chance.sample(places, min(len(places), _SPREAD_SPACES)), reverse=True):
        text = f"{text[:place]} {text[place:]}"
    return text


def _typing_error(text: str, kept: Collection[str], chance: random.Random) -> str:
    """Swaps two neighbouring letters inside a word, in none that the target says."""
    words = [
        found
        for found in _WORD.finditer(text)
        if len(found.group()) >= _LEAST_LETTERS and found.group().lower() not in kept
    ]
    if not words:
        return text
    word = chance.choice(words)
    place = word.start() + chance.randrange(1, len(word.group()) - 2)
    return f"{text[:place]}{text[place + 1]}{text[place]}{text[place + 2 :]}"


def _other_order(text: str, _: Collection[str], chance: random.Random) -> str:
    """The last field first: of a JSON object, or of lines that all read `name: value`."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        lines = text.split("\n")
        if len(lines) > 1 and all(map(_LINE.match, lines)):
            return "\n".join([*lines[-1:], *lines[:-1]])
        return text
    if not isinstance(fields, dict):
        return text
    names = list(fields)
    turned = {name: fields[name] for name in [*names[-1:], *names[:-1]]}
    return json.dumps(turned, ensure_ascii=False, indent=2 if "\n" in text else None)


FORMS: dict[str, Form] = {
    "case": Form(_lower_case, "capitals tell something: codes, acronyms, a name from a word"),
    "spaces": Form(_more_spaces, "columns or code, where spaces are structure"),
    "typing error": Form(_typing_error, "the word is a code, or the error makes another word"),
    "field order": Form(_other_order, "the order of fields or lines tells something, as of steps"),
}
"""By name, in the order in which they are tried."""


def sizes(dev: int) -> list[tuple[int, int]]:
    """SIZES, on no more rows than `dev` has."""
    return list(dict.fromkeys((min(rows, dev), variations) for rows, variations in SIZES))


def calls_for(size: tuple[int, int]) -> int:
    """Of one finalist. What is known of it already makes it fewer."""
    rows, variations = size
    return rows * sum(min(variations, most) for most in (MOST_SAMPLES, len(FORMS), len(STYLES) - 1))


def reformed(row: Example, form: str, seed: int) -> Example | None:
    """The row with its input in this form of `FORMS`; None where that changes nothing.

    The same row, form and seed always give the same. The new row has an id of its own.
    """
    chance = random.Random(f"{seed}/{form}/{row.id}")  # noqa: S311 - reproducibility, not secrecy
    text = FORMS[form].change(row.input, words(row.target), chance)
    if text == row.input:
        return None
    return row.model_copy(update={"id": content_hash(form, str(seed), row.id), "input": text})


def words(text: str) -> frozenset[str]:
    """Its words and numbers, in lower case."""
    return frozenset(re.findall(r"\w+", text.lower()))


def copied(row: Example, contract: OutputContract) -> bool:
    """Whether the target repeats words of the input, so that a change there changes what is right.

    A label is chosen, not copied.
    """
    return contract.kind != "label" and bool(words(row.target) & words(row.input))


def samples(
    bench: Bench, variant: Variant, rows: Sequence[Example], count: int
) -> dict[str, list[Record]]:
    """`count` sampled answers to each row, at most MOST_SAMPLES, by a name for each draw.

    Raises `BudgetSpent`, as all that asks here; what was answered is kept.
    """
    drawn = min(count, MOST_SAMPLES)
    records = bench.sampled(variant, "dev", rows, drawn)
    return {
        f"sample {repeat + 1}": [record for record in records if record.repeat == repeat]
        for repeat in range(drawn)
    }


def forms(
    bench: Bench, variant: Variant, rows: Sequence[Example], count: int, seed: int
) -> dict[str, list[Record]]:
    """Answers to the inputs in the first `count` forms that change half of the rows or more.

    The records carry the ids of `rows`, and leave out those that a form does not change.
    """
    found: dict[str, list[Record]] = {}
    for form in FORMS:
        pairs = [(row, each) for row in rows if (each := reformed(row, form, seed))]
        if len(found) < count and 2 * len(pairs) >= len(rows):
            records = bench.records(variant, "dev", [each for _, each in pairs])
            found[form] = [
                record.model_copy(update={"example": row.id})
                for (row, _), record in zip(pairs, records, strict=True)
            ]
    return found


def layouts(
    bench: Bench, variant: Variant, rows: Sequence[Example], count: int
) -> dict[str, list[Record]]:
    """Answers under the first `count` other layouts that the variant's prompt can take."""
    others = [style for style in styles_of(variant) if style != variant.prompt.style]
    return {style: bench.records(styled(variant, style), "dev", rows) for style in others[:count]}
