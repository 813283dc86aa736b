"""How far answers stay the same when the same is asked again, and what moves their scores."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.compare.bounds import Array, sign_flip_p
from trimtab.compare.intervals import cluster_codes, difference_interval, mean_over_rows
from trimtab.compare.layouts import Components, components
from trimtab.compare.paired import FLIPS
from trimtab.compare.records import answer_key
from trimtab.types import (
    ArmConsistency,
    Consistency,
    Record,
    Scored,
    Source,
    Steady,
    Variant,
    Variation,
)


@dataclass(frozen=True)
class Told:
    """One judged answer. `says` is a comparable form of it, None where it breaks the contract;
    `score` is None where the change that was made touches what is right."""

    says: str | None
    score: float | None


Answers = Mapping[str, Told]
"""By row. A row whose call failed is not in it."""


@dataclass(frozen=True)
class Asked:
    """One finalist's first answers, and for each source those to each of its variations, by name.

    A source that compares loosely has first answers of its own.
    """

    variant: Variant
    first: Answers
    varied: Mapping[Source, Mapping[str, Answers]]
    loose_first: Answers


def told(
    records: Sequence[Record],
    metric: str,
    *,
    loose: bool = False,
    unscored: Container[str] = (),
) -> dict[str, Told]:
    """The judged answers among `records`, by row; without a score for the rows in `unscored`.

    `loose` takes answers that differ in case and spaces for the same.
    """
    found = {}
    for record in records:
        if isinstance(record.outcome, Scored):
            says = answer_key(record)
            if loose and says is not None:
                says = " ".join(json.dumps(says, ensure_ascii=False).casefold().split())
            score = None if record.example in unscored else record.outcome.metrics[metric]
            found[record.example] = Told(says, score)
    return found


def consistency(
    asked: Sequence[Asked], of: int, clusters: Mapping[str, str], seed: int = 0
) -> Consistency | None:
    """Each finalist's steadiness, and the paired difference of two; None where nothing was varied.

    The sources that all finalists were measured on count alike in a row's share of kept answers. An
    answer that breaks the contract agrees with nothing.
    """
    compared: tuple[Source, ...] = tuple(
        source
        for source in (asked[0].varied if asked else ())
        if source != "seed" and all(source in each.varied for each in asked)
    )
    if not compared:
        return None
    by_arm = {each.variant.arm: _kept_by_row(each, compared) for each in asked}
    rows = [row for row in asked[0].first if all(row in kept for kept in by_arm.values())]
    difference, p_value = None, None
    if len(by_arm) == 2:
        gaps = [by_arm["fine-tune"][row] - by_arm["prompt"][row] for row in rows]
        names = [clusters.get(row, row) for row in rows]
        difference = difference_interval(gaps, names, seed=seed)
        codes = cluster_codes(len(names), names)
        p_value = sign_flip_p(np.array(gaps), codes, FLIPS, seed) if gaps else None
    return Consistency(
        rows=len(rows),
        of=of,
        arms=tuple(_arm(each, by_arm[each.variant.arm], clusters, seed) for each in asked),
        compared=compared,
        difference=difference,
        p_value=p_value,
    )


def kept_shares(first: Answers, varied: Mapping[str, Answers]) -> dict[str, float]:
    """For each row the share of its varied answers that equal its first one."""
    shares = {}
    for row, answer in first.items():
        again = [answers[row] for answers in varied.values() if row in answers]
        if again:
            shares[row] = sum(_same(answer, each) for each in again) / len(again)
    return shares


def _arm(
    asked: Asked, kept: Mapping[str, float], clusters: Mapping[str, str], seed: int
) -> ArmConsistency:
    sources = [_steady(asked, source, clusters, seed) for source in asked.varied]
    return ArmConsistency(
        variant=asked.variant.id,
        name=asked.variant.name,
        arm=asked.variant.arm,
        kept=mean_over_rows(kept, clusters, seed),
        worst_answer=_worst_answer(asked),
        sources=tuple(sources),
        variance=_variance(asked),
    )


def _kept_by_row(asked: Asked, sources: Sequence[Source]) -> dict[str, float]:
    """Mean over `sources` of the row's share of kept answers, where all of them have one."""
    shares = [kept_shares(_first(asked, source), asked.varied[source]) for source in sources]
    whole = [row for row in asked.first if all(row in each for each in shares)]
    return {row: sum(each[row] for each in shares) / len(shares) for row in whole}


def _steady(asked: Asked, source: Source, clusters: Mapping[str, str], seed: int) -> Steady:
    first, varied = _first(asked, source), asked.varied[source]
    table = _table(asked, source)
    means = table.mean(axis=1) if table.size else None
    spread = components(table)
    return Steady(
        source=source,
        kept=mean_over_rows(kept_shares(first, varied), clusters, seed),
        variations=tuple(
            _variation(name, first, answers, None if means is None else float(means[place]))
            for place, (name, answers) in enumerate(varied.items(), start=1)
        ),
        worst=None if means is None else float(means.min()),
        spread=None if spread is None else spread.source**0.5,
    )


def _variation(name: str, first: Answers, answers: Answers, quality: float | None) -> Variation:
    shared = [row for row in first if row in answers]
    same = sum(_same(first[row], answers[row]) for row in shared)
    return Variation(
        name=name,
        rows=len(shared),
        kept=same / len(shared) if shared else None,
        quality=quality,
    )


def _table(asked: Asked, source: Source) -> Array:
    """Scores of the first answers and of each variation, over the rows that all have one."""
    answers = [_first(asked, source), *asked.varied[source].values()]
    rows = [row for row in answers[0] if all(_score(each, row) is not None for each in answers)]
    return np.array([[_score(each, row) for row in rows] for each in answers], dtype=np.float64)


def _variance(asked: Asked) -> dict[str, float]:
    """Variance of one answer's score: what rows differ in, the mean over the sources that tell it;
    and of each source what moves all rows alike and what moves each on its own.

    Sampled answers are compared among themselves: the first one was not sampled.
    """
    found: dict[str, Components] = {}
    for source in asked.varied:
        table = _table(asked, source)
        split = components(table[1:] if source == "sample" else table)
        if split is not None:
            found[source] = split
    if not found:
        return {}
    row = sum(each.row for each in found.values()) / len(found)
    return {"row": row} | {name: each.source + each.rest for name, each in found.items()}


def _worst_answer(asked: Asked) -> float | None:
    """Over the rows that have a score of their first answer."""
    lowest = []
    for row, answer in asked.first.items():
        if answer.score is not None:
            again = [_score(each, row) for kind in asked.varied.values() for each in kind.values()]
            lowest.append(min([answer.score, *(score for score in again if score is not None)]))
    return sum(lowest) / len(lowest) if lowest else None


def _first(asked: Asked, source: Source) -> Answers:
    return asked.loose_first if source == "input" else asked.first


def _score(answers: Answers, row: str) -> float | None:
    return answers[row].score if row in answers else None


def _same(one: Told, other: Told) -> bool:
    return one.says is not None and one.says == other.says
