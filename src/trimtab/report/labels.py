"""Which labels a finalist takes for which, as rows of a table."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.types import LabelTable

MOST_TAKEN_FOR = 3
"""Wrong labels that are named for each label, the most frequent ones."""


@dataclass(frozen=True)
class LabelRow:
    """How the test rows of one label were answered."""

    label: str
    rows: int
    right: int
    taken_for: str
    f1: float | None


def label_rows(table: LabelTable) -> list[LabelRow]:
    """One row a label, in the task's order."""
    return [
        LabelRow(label, sum(counts), counts[i], _taken_for(table, i), table.f1[i])
        for i, (label, counts) in enumerate(zip(table.labels, table.counts, strict=True))
    ]


def _taken_for(table: LabelTable, place: int) -> str:
    answers = zip((*table.labels, "no label"), table.counts[place], strict=True)
    wrong = [(count, name) for i, (name, count) in enumerate(answers) if count and i != place]
    wrong.sort(key=lambda pair: -pair[0])
    told = [f"{name} {count:,}" for count, name in wrong[:MOST_TAKEN_FOR]]
    if rest := sum(count for count, _ in wrong[MOST_TAKEN_FOR:]):
        told.append(f"others {rest:,}")
    return ", ".join(told)
