"""JSON targets whose values are copied from the input: words in an odd field, or in none.

Each word of an input is given to the field whose value holds it. A naive Bayes learner over a word,
its shape and its neighbours then says, for rows that it never saw, which field a word belongs in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from trimtab.audit.learn import FOLDS, Floats, probabilities, shape
from trimtab.audit.subject import Suspect
from trimtab.score.fields import leaves
from trimtab.task.codes import digest
from trimtab.task.contract import parse
from trimtab.types import Example, OutputContract

USUAL = 0.95
"""A rule that this share of the rows keeps is taken to be meant: the others are suspects."""

MIN_ROWS = 20
"""Rows with a field from which on a rule about it can be seen."""

UNLIKELY = 0.05
"""A word is suspected in a field that has less than this probability, where another is likely."""

LIKELY = 0.8

READ_CHARACTERS = 2_000
"""How much of an input is looked at; what a value may have copied from the rest is not judged."""

NOWHERE = "no field"
_COLUMNS = 2**18
_SMOOTHING = 1
_WORD = re.compile(r"\w[\w'&./-]*|[&#]")


@dataclass(frozen=True)
class _Read:
    """One row: the words of its input, the field of each, and values that are not in the input."""

    row: Example
    words: list[str]
    fields: list[str]
    foreign: list[tuple[str, str]]
    copied: list[str]


def suspected_words(
    rows: Sequence[Example], contract: OutputContract
) -> tuple[set[str], list[Suspect]]:
    """Fields whose values are copied, and a suspect for each odd word or value of valid rows.

    Inputs may be cut at `READ_CHARACTERS`. Linear in the text of the rows.
    """
    read = [_read(row, contract) for row in rows]
    total: Counter[str] = Counter()
    copied: Counter[str] = Counter()
    for each in read:
        copied.update(each.copied)
        total.update(each.copied)
        total.update(name for name, _ in each.foreign)
    extractive = {name for name, n in total.items() if n >= MIN_ROWS and copied[name] >= USUAL * n}
    if not extractive:
        return set(), []
    return extractive, [
        *_foreign(read, extractive),
        *_left_over(read, extractive),
        *_misplaced(read),
    ]


def _read(row: Example, contract: OutputContract) -> _Read:
    words = _WORD.findall(row.input)
    fields = [NOWHERE] * len(words)
    folded = [word.casefold() for word in words]
    foreign: list[tuple[str, str]] = []
    copied: list[str] = []
    values: list[tuple[list[str], str, str]] = []
    for path, value in leaves(parse(contract, row.target)):
        name = ".".join("[]" if part is None else part for part in path)
        text = str(value[1]) if isinstance(value, tuple) and len(value) > 1 else str(value)
        values.append(([word.casefold() for word in _WORD.findall(text)], name, text))
    # The longest first: of two places for a word, the one inside of a longer value is taken.
    for wanted, name, text in sorted(values, key=lambda value: -len(value[0])):
        places = _places(folded, wanted, fields)
        if places is None and len(row.input) >= READ_CHARACTERS:
            continue  # it may stand in what was not read
        if places is None:
            foreign.append((name, text))
        else:
            copied.append(name)
            for place in places:
                fields[place] = name
    return _Read(row, words, fields, foreign, copied)


def _places(words: Sequence[str], wanted: Sequence[str], fields: Sequence[str]) -> list[int] | None:
    """Where `wanted` stands in `words`: in one piece, else in order; in words not given yet."""
    free = [place for place, field in enumerate(fields) if field == NOWHERE]
    for start in free:
        piece = range(start, start + len(wanted))
        if list(words[start : start + len(wanted)]) == list(wanted) and all(
            fields[place] == NOWHERE for place in piece
        ):
            return list(piece)
    found: list[int] = []
    places = iter(free)
    for word in wanted:
        place = next((place for place in places if words[place] == word), None)
        if place is None:
            return None
        found.append(place)
    return found


def _foreign(read: Sequence[_Read], extractive: set[str]) -> Iterator[Suspect]:
    for each in read:
        for name, value in each.foreign:
            if name in extractive:
                yield Suspect(each.row, f"{name} {value!r} is not in the input", "", 1.0)


def _left_over(read: Sequence[_Read], extractive: set[str]) -> Iterator[Suspect]:
    whole = sum(NOWHERE not in each.fields for each in read)
    if whole < USUAL * len(read):
        return
    for each in read:
        left = [w for w, field in zip(each.words, each.fields, strict=True) if field == NOWHERE]
        if left and extractive.isdisjoint(name for name, _ in each.foreign):
            yield Suspect(each.row, f"{' '.join(left)!r} is in no field", "", 0.9)


def _misplaced(read: Sequence[_Read]) -> Iterator[Suspect]:
    names = sorted({field for each in read for field in each.fields})
    number = {name: i for i, name in enumerate(names)}
    given = np.array([number[field] for each in read for field in each.fields], dtype=np.intp)
    if len(names) < 2:
        return
    owner = np.repeat(np.arange(len(read)), [len(each.words) for each in read])
    likely = probabilities(_scores(read, given, owner, len(names)), given)
    best = likely.argmax(axis=1)
    here, there = likely[np.arange(len(given)), given], likely.max(axis=1)
    starts = np.cumsum([0, *(len(each.words) for each in read)])
    for i in np.flatnonzero((best != given) & (here < UNLIKELY) & (there > LIKELY)).tolist():
        each = read[owner[i]]
        word = each.words[i - starts[owner[i]]]
        why = (
            f"{word!r} in {names[given[i]]} has a probability of {here[i]:.2f}, "
            f"in {names[best[i]]} of {there[i]:.2f}"
        )
        suggestion = f"{word!r} in {names[best[i]]}"
        yield Suspect(each.row, why, suggestion, float(there[i] - here[i]))


def _scores(
    read: Sequence[_Read], given: NDArray[np.intp], owner: NDArray[np.intp], count: int
) -> Floats:
    """Log-odds of each field by a word's features, learnt from other folds; (words, fields)."""
    features = _features(read)
    fold = owner % FOLDS
    scores = np.empty((len(given), count), dtype=np.float32)
    for each in range(FOLDS):
        train, held = np.flatnonzero(fold != each), np.flatnonzero(fold == each)
        truth = np.eye(count, dtype=np.float32)[given[train]]
        prior = (truth.sum(axis=0) + 1) / (len(train) + count)
        counts = np.asarray(features[train].T @ truth)
        seen = counts.sum(axis=1, keepdims=True)
        # How a feature shifts the odds of each field; one that was never seen shifts nothing.
        shift = np.log((counts + _SMOOTHING * prior) / ((seen + _SMOOTHING) * prior))
        scores[held] = features[held] @ shift.astype(np.float32) + np.log(prior)
    return scores


def _features(read: Sequence[_Read]) -> sparse.csr_array[np.float32]:
    columns: list[int] = []
    ends = [0]
    for each in read:
        words = ["^", *(word.casefold() for word in each.words), "$"]
        shapes = ["^", *map(shape, each.words), "$"]
        for i in range(1, len(words) - 1):
            found = {
                f"word {words[i]}",
                f"shape {shapes[i - 1]} {shapes[i]} {shapes[i + 1]}",
                f"end {words[i][-3:]}",
                f"before {words[i - 1]} {shapes[i]}",
                f"after {words[i + 1]} {shapes[i]}",
                f"place {min(i, 4)} {min(len(words) - 1 - i, 4)} {shapes[i]}",
            }
            columns.extend(digest(each) % _COLUMNS for each in found)
            ends.append(len(columns))
    ones = np.ones(len(columns), dtype=np.float32)
    parts = (ones, np.array(columns, np.int32), np.array(ends, np.int32))
    return sparse.csr_array(parts, shape=(len(ends) - 1, _COLUMNS))
