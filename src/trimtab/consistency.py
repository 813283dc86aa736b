"""Asks the finalists again on dev, with differences that should not matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.compare.consistency import Asked, Told, consistency, told
from trimtab.compare.summary import agreement
from trimtab.errors import BudgetSpent
from trimtab.measure.bench import Bench
from trimtab.measure.consistency import (
    CONSISTENCY,
    CONSISTENCY_SHARE,
    copied,
    forms,
    layouts,
    samples,
)
from trimtab.measure.session import Session
from trimtab.seeds import Replica
from trimtab.types import Arm, Consistency, Interval, Record, Source, Variant

_SLACK = 1.5
"""Times the planned seconds that it may take, where that is more than its share of the budget: the
winner may be dearer than the prompt that was planned for."""

Records = Mapping[str, Sequence[Record]]
"""By the name of a variation, with the ids of the rows that were asked."""


@dataclass(frozen=True)
class Again:
    """What came of it. `agreement` is the share of a row's sampled answers that equal each other,
    of each finalist that was sampled."""

    consistency: Consistency | None
    agreement: Mapping[Arm, Interval]


@dataclass
class _Answers:
    """One finalist's, as far as the budget went; a source is whole or not there."""

    variant: Variant
    first: Sequence[Record] = ()
    varied: dict[Source, Records] = field(default_factory=dict)


def ask_again(
    session: Session, finalists: Sequence[Variant], replicas: Sequence[Replica] = ()
) -> Again:
    """Sample the finalists, change their inputs and their layouts, as the plan's share allows; and
    look at `replicas` of the fine-tune, whose answers are known."""
    opened, meter = session.opened, session.meter
    task, seed = opened.task, opened.task.seed
    count, variations = session.plan.asked_again
    rows = sorted(opened.split.dev, key=lambda row: row.id)[:count]
    planned = sum(stage.seconds for stage in session.plan.stages if stage.stage == CONSISTENCY)
    limit = max(_SLACK * planned, CONSISTENCY_SHARE * task.budget.minutes * 60)
    ways: dict[Source, Callable[[Bench, Variant], Records]] = {
        "sample": lambda bench, variant: samples(bench, variant, rows, variations),
        "input": lambda bench, variant: forms(bench, variant, rows, variations, seed),
        "format": lambda bench, variant: layouts(bench, variant, rows, variations),
    }
    found = [_Answers(variant) for variant in finalists]
    stopped_by = meter.stopped_by
    try:
        for source, ask in ways.items():
            for each in found:
                bench = session.benches[each.variant.arm]
                with meter.stage(CONSISTENCY, each.variant.arm, limit):
                    each.first = bench.records(each.variant, "dev", rows)
                    if records := ask(bench, each.variant):
                        each.varied[source] = records
    except BudgetSpent:
        if not meter.run_spent:
            meter.stopped_by = stopped_by  # fewer sources are no early stop
    ids = {row.id for row in rows}
    for each in found:
        if each.variant.arm == "fine-tune" and replicas:
            each.varied["seed"] = {
                replica.name: [record for record in replica.records if record.example in ids]
                for replica in replicas
            }
    changed = {row.id for row in rows if copied(row, task.output)}
    asked = [_asked(each, task.metric, changed) for each in found]
    return Again(
        consistency(asked, len(opened.split.dev), opened.clusters, seed),
        {
            each.variant.arm: agreement([r for part in drawn.values() for r in part], seed)
            for each in found
            if (drawn := each.varied.get("sample"))
        },
    )


def _asked(found: _Answers, metric: str, changed: set[str]) -> Asked:
    """Where the input changes, `changed` rows have no score: their target is no longer right."""

    def loosely(records: Sequence[Record]) -> dict[str, Told]:
        return told(records, metric, loose=True, unscored=changed)

    return Asked(
        variant=found.variant,
        first=told(found.first, metric),
        loose_first=loosely(found.first),
        varied={
            source: {
                name: loosely(records) if source == "input" else told(records, metric)
                for name, records in parts.items()
            }
            for source, parts in found.varied.items()
        },
    )
