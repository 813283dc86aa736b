"""What a variant's answers in a run are worth."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.compare.summary import summarise
from trimtab.decide.cost import cost_per_call
from trimtab.measure.bench import prompt_tokens
from trimtab.measure.session import Session
from trimtab.types import Record, SplitName, Variant, VariantScore


def score_of(
    session: Session, variant: Variant, split: SplitName, records: Sequence[Record]
) -> VariantScore:
    """Of its records on one split, by the task's metric and clusters, with the money of 1,000 calls
    where tokens have a price; that of a machine hangs on latency, which finalists alone have."""
    opened, bench = session.opened, session.benches[variant.arm]
    score = summarise(
        variant,
        split,
        records,
        opened.task.metric,
        opened.task.seed,
        clusters=opened.clusters,
        prompt_tokens=prompt_tokens(bench, variant, opened.split.dev),
    )
    cost = cost_per_call(score, bench.spec)
    return score.model_copy(update={"money_per_1000": None if cost is None else 1000 * cost})
