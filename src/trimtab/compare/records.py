"""Reads scores out of records. Quality is judged on repeat 0; further repeats serve agreement."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from trimtab.errors import RunError
from trimtab.types import Completion, Record, Scored


def first_repeats(records: Sequence[Record]) -> dict[str, Record]:
    """The repeat-0 record of each example, in the order given.

    Raises RunError where records of several variants are mixed or an example occurs twice.
    """
    firsts: dict[str, Record] = {}
    for record in records:
        if record.variant != records[0].variant:
            raise RunError(
                f"records of two variants are mixed: {records[0].variant} and {record.variant}; "
                "give the records of one variant"
            )
        if record.repeat != 0:
            continue
        if record.example in firsts:
            raise RunError(
                f"variant {record.variant} has two records of example {record.example}, repeat 0; "
                "remove the run's records of this variant and measure it again"
            )
        firsts[record.example] = record
    return firsts


def scored(firsts: Mapping[str, Record]) -> dict[str, Scored]:
    """The judged outcomes by example. Failed records are left out, never counted as 0."""
    return {
        example: record.outcome
        for example, record in firsts.items()
        if isinstance(record.outcome, Scored)
    }


def answered(records: Sequence[Record]) -> dict[str, Completion]:
    """The judged repeat-0 answers by example: the calls whose tokens count."""
    firsts = first_repeats(records)
    return {e: c for e in scored(firsts) if (c := firsts[e].completion) is not None}


def metric_of(outcome: Scored, metric: str, example: str) -> float:
    """The named metric; RunError where the scorer did not give it."""
    if metric not in outcome.metrics:
        raise RunError(
            f"example {example} was scored without {metric!r} (it has: "
            f"{', '.join(sorted(outcome.metrics)) or 'nothing'}); measure it with the task's metric"
        )
    return outcome.metrics[metric]


def answer_key(record: Record) -> str | None:
    """A comparable form of the parsed answer, or of the text where the scorer parses nothing; None
    for an answer that breaks the contract."""
    outcome, completion = record.outcome, record.completion
    if not isinstance(outcome, Scored) or not outcome.valid:
        return None
    if outcome.parsed is None and isinstance(completion, Completion):
        return completion.text.strip()
    return json.dumps(outcome.parsed, sort_keys=True)
