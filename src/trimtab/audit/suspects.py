"""Targets that a learner which never saw the row finds unlikely: for review, never for deletion.

Labels, and JSON fields with few values, are judged by confident learning (Northcutt, Jiang and
Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70): a row is
suspected where another label is at least as likely as that label is, on average, on its own rows;
or, beyond the paper, where it is twice as likely as the given one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray

from trimtab.audit.learn import Floats, kernel, out_of_fold, probabilities, vectors
from trimtab.audit.subject import Subject, Suspect, Table, finding, flag, unmeasured
from trimtab.audit.words import READ_CHARACTERS, suspected_words
from trimtab.task.contract import parse
from trimtab.types import Example, Finding

JUDGED, PART = 6_000, 3_000
"""Rows judged at most, and in one go: a fit is cubic in them and takes about a second."""

MIN_ROWS = 50
MIN_OF_VALUE = 5
ODDS = 2.0
"""Finds more of the wrong labels than the paper's rule alone, at the price of more right ones among
the flags; docs/audit.md has the figures."""

MOST_VALUES = 50
"""A JSON field with more values than this is no choice among a few."""

ABSENT = "(absent)"


def suspected_targets(subject: Subject, table: Table) -> Finding:
    kind = subject.contract.kind
    if kind == "text":
        message = (
            "which free texts are wrong cannot be told from the rows alone; after a training run, "
            "its hard rows are the first to look at"
        )
        return unmeasured("suspected-targets", message)
    rows = [_begun(subject.rows[int(place)]) for place in table.sample(JUDGED)]
    values = [_choices(subject, row) for row in rows]
    kept = [i for i, value in enumerate(values) if value is not None]
    rows, values = [rows[i] for i in kept], [values[i] for i in kept]
    if len(rows) < MIN_ROWS:
        message = f"wrong targets are not looked for in fewer than {MIN_ROWS} valid rows"
        return unmeasured("suspected-targets", message)
    copied: set[str] = set()
    suspects: list[Suspect] = []
    if kind == "json":
        copied, suspects = suspected_words(rows, subject.contract)
    choices = cast(list[dict[str, str]], values)
    fields = [name for name in _few_valued(choices) if name not in copied]
    skilled: set[str] = set()
    suspects += _unlikely(rows, choices, fields, subject.seed, skilled)
    if not copied and not skilled:
        message = "a learner cannot tell the targets from the inputs, so it suspects none"
        return unmeasured("suspected-targets", message)
    worst: dict[str, Suspect] = {}
    for each in sorted(suspects, key=lambda each: -each.doubt):
        worst.setdefault(each.row.id, each)
    judged = f"{len(rows):,}" + (" sampled" if len(rows) < len(table.distinct) else "") + " rows"
    figures = {"judged": float(len(rows)), "share": len(worst) / len(rows)}
    if not worst:
        message = f"no target of {judged} looks unlikely"
        return finding("suspected-targets", "info", message, figures=figures)
    message = (
        f"{len(worst):,} of {judged} have a target that a learner trained on the other rows finds "
        "unlikely; about half of such flags are right targets, so look and do not delete"
    )
    flags = [flag(each.row, each.why, each.suggestion) for each in worst.values()]
    return finding(
        "suspected-targets", "warn", message, flags[: subject.listed], len(worst), figures
    )


def _begun(row: Example) -> Example:
    """The row with as much of its input as a learner reads."""
    return row.model_copy(update={"input": row.input[:READ_CHARACTERS]})


def _choices(subject: Subject, row: Example) -> dict[str, str] | None:
    """What was chosen: the label, or each JSON field's value; None where the target is invalid."""
    try:
        value = parse(subject.contract, row.target)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return {"": str(value)}
    return {name: each if isinstance(each, str) else str(each) for name, each in value.items()}


def _unlikely(
    rows: Sequence[Example],
    values: Sequence[dict[str, str]],
    fields: Sequence[str],
    seed: int,
    skilled: set[str],
) -> Iterator[Suspect]:
    if not fields:
        return
    rng = np.random.default_rng(seed)
    parts = np.array_split(rng.permutation(len(rows)), -(-len(rows) // PART))
    for part in parts:
        chosen = [rows[i] for i in part.tolist()]
        given = [values[i] for i in part.tolist()]
        yield from _unlikely_in_part(chosen, given, fields, rng, skilled)


def _few_valued(values: Sequence[dict[str, str]]) -> list[str]:
    """Fields that choose among a few values, each of them used often enough to be learnt."""
    counts: dict[str, Counter[str]] = {}
    for value in values:
        for name, each in value.items():
            counts.setdefault(name, Counter())[each] += 1
    return [
        name
        for name, each in counts.items()
        if name == "" or (1 < len(each) <= MOST_VALUES and each.total() >= MIN_OF_VALUE * len(each))
    ]


def _unlikely_in_part(
    rows: Sequence[Example],
    values: Sequence[dict[str, str]],
    fields: Sequence[str],
    rng: np.random.Generator,
    skilled: set[str],
) -> Iterator[Suspect]:
    """One fit judges all fields: each value of each is a column. Fields that the learner can tell
    are added to `skilled`; nobody is suspected by the word of one that guesses."""
    columns: list[tuple[str, list[str], NDArray[np.intp]]] = []
    for name in fields:
        options = sorted({value.get(name, ABSENT) for value in values})
        number = {option: i for i, option in enumerate(options)}
        columns.append((name, options, np.array([number[v.get(name, ABSENT)] for v in values])))
    targets = np.concatenate(
        [np.eye(len(options), dtype=np.float32)[given] for _, options, given in columns], axis=1
    )
    similarity = kernel(vectors([row.input for row in rows]))
    scores = out_of_fold(similarity, targets, rng)
    start = 0
    for name, options, given in columns:
        likely = probabilities(scores[:, start : start + len(options)], given)
        start += len(options)
        if not _skilled(likely, given):
            continue
        skilled.add(name)
        for i, other in confident(likely, given):
            here, there = float(likely[i, given[i]]), float(likely[i, other])
            what = f"{name} " if name else ""
            why = (
                f"{what}{options[given[i]]!r} has a probability of {here:.2f}, "
                f"{options[other]!r} of {there:.2f}"
            )
            suggestion = f"{name}: {options[other]}" if name else options[other]
            yield Suspect(rows[i], why, suggestion, there - here)


def _skilled(likely: Floats, given: NDArray[np.intp]) -> bool:
    """Whether the likeliest label is right more often than the commonest one, beyond chance."""
    commonest = float(np.bincount(given).max() / len(given))
    right = float((likely.argmax(axis=1) == given).mean())
    return right > commonest + 2 * math.sqrt(commonest * (1 - commonest) / len(given))


def confident(likely: Floats, given: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Rows whose label is likely another one, and which.

    Args:
        likely: out-of-sample probabilities, shape (rows, labels).
        given: number of each row's label.
    """
    count = likely.shape[1]
    own = [likely[given == label, label] for label in range(count)]
    threshold = np.array([each.mean() if len(each) >= MIN_OF_VALUE else np.inf for each in own])
    here = likely[np.arange(len(given)), given][:, None]
    reached = np.where((likely >= threshold) | (likely >= ODDS * here), likely, -1.0)
    best = reached.argmax(axis=1)
    off = (reached.max(axis=1) >= 0) & (best != given)
    return [(int(i), int(best[i])) for i in np.flatnonzero(off)]
