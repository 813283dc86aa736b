"""What was recorded of one task and one order of training, as the truth that teams sample from.

The pool's rows are the whole population: a variant's true quality, and the true tokens of its
calls, are its means over all of them. Teams draw rows with replacement, so their samples are
independent, as if the population were endless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from benchmarks.truth.pools import Pool
from benchmarks.truth.record import (
    FIXED_FROM,
    NEAREST_FROM,
    UNITS,
    Prompted,
    Recorded,
    recorded,
)

from trimtab.compare.paired import compare
from trimtab.compare.summary import summarise
from trimtab.prompt.variants import constrained
from trimtab.task.spec import Task
from trimtab.tune.trained import Trained
from trimtab.types import Comparison, CurvePoint, Example, Money, Record, Variant, VariantScore

Records = Mapping[str, Mapping[str, Record]]
"""By variant and row."""


@dataclass(frozen=True)
class World:
    """Fixed prompts, nearest ones by the training rows that they need, and one training."""

    task: Task
    rows: Sequence[Example]
    fixed: Sequence[Prompted]
    nearest: Mapping[int, tuple[Sequence[Prompted], Records]]
    sweep: Sequence[CurvePoint]
    trained: Sequence[Trained]
    records: Records
    """Of the fixed prompts and of the fine-tunes."""

    def prompts(self, training_rows: int) -> tuple[Sequence[Prompted], Records]:
        """What a team with so many training rows can prompt with, in the order of the search."""
        prompts, records = [*self.fixed] if training_rows >= FIXED_FROM else [], self.records
        rung = self._rung(training_rows)
        if rung:
            found, of_nearest = self.nearest[rung]
            prompts, records = [*prompts, *found], {**records, **of_nearest}
        return prompts, records

    def tuned(self, training_rows: int) -> list[Trained]:
        """What it can train."""
        return [each for each in self.trained if each.point.rows <= training_rows]

    @cached_property
    def ids(self) -> tuple[str, ...]:
        return tuple(row.id for row in self.rows)

    @cached_property
    def _true(self) -> dict[tuple[str, int], VariantScore]:
        return {}

    @cached_property
    def costs(self) -> dict[tuple[str, str, int, int], Money]:
        """For whoever works them out: by prompt, fine-tune, training rows and labels to buy."""
        return {}

    @cached_property
    def _differences(self) -> dict[tuple[str, str, int], Comparison]:
        return {}

    def _rung(self, training_rows: int) -> int:
        """Training rows of the nearest demonstrations that a team with so many rows meets."""
        return max((rows for rows in self.nearest if rows <= training_rows), default=0)

    def true(self, variant: Variant, training_rows: int) -> VariantScore:
        """All that there is to know of a variant, measured on the whole pool."""
        key = (variant.id, self._rung(training_rows) if variant.prompt.nearest else 0)
        if key not in self._true:
            records = self.population(variant, training_rows)
            self._true[key] = summarise(variant, "test", records, self.task.metric)
        return self._true[key]

    def most(self, trained: Trained, training_rows: int) -> float:
        """True quality of a fine-tune, free or constrained, whichever is better."""
        found = (self.true(each, training_rows).quality.estimate for each in both_ways(trained))
        return max(quality for quality in found if quality is not None)

    def true_difference(self, a: Variant, b: Variant, training_rows: int) -> Comparison:
        """Of `b` less `a`, on the whole pool."""
        key = (a.id, b.id, self._rung(training_rows))
        if key not in self._differences:
            before, after = (self.population(each, training_rows) for each in (a, b))
            self._differences[key] = compare(before, after, self.task.metric)
        return self._differences[key]

    def population(self, variant: Variant, training_rows: int) -> list[Record]:
        """The variant's records of all rows."""
        _, records = self.prompts(training_rows)
        recorded = records[variant.id]
        return [recorded[row] for row in self.ids]


def worlds(pool: Pool) -> list[World]:
    """One for each order of training that is recorded; none while the prompts are not."""
    prompts = recorded(pool, UNITS[0])
    nearest = {rows: _unit(pool, f"nearest-{rows}") for rows in NEAREST_FROM}
    if prompts is None:
        return []
    trained = [recorded(pool, unit) for unit in UNITS if unit.draw is not None]
    return [
        World(
            task=pool.task,
            rows=pool.rows,
            fixed=prompts[0].prompts,
            nearest={n: (each[0].prompts, each[1]) for n, each in nearest.items() if each},
            sweep=each[0].sweep,
            trained=each[0].trained,
            records={**prompts[1], **each[1]},
        )
        for each in trained
        if each is not None
    ]


def _unit(pool: Pool, name: str) -> tuple[Recorded, dict[str, dict[str, Record]]] | None:
    (unit,) = (unit for unit in UNITS if unit.name == name)
    return recorded(pool, unit)


def both_ways(trained: Trained) -> tuple[Variant, Variant]:
    """A fine-tune, free and constrained."""
    return trained.variant, constrained(trained.variant)
