"""What a variant's answers in a run are worth."""

from __future__ import annotations

from collections.abc import Sequence

from trimtab.compare.summary import summarise
from trimtab.measure.bench import prompt_tokens
from trimtab.measure.session import Session
from trimtab.types import Record, SplitName, Variant, VariantScore


def score_of(
    session: Session, variant: Variant, split: SplitName, records: Sequence[Record]
) -> VariantScore:
    """Of its records on one split, by the task's metric and clusters."""
    opened = session.opened
    return summarise(
        variant,
        split,
        records,
        opened.task.metric,
        opened.task.seed,
        clusters=opened.clusters,
        prompt_tokens=prompt_tokens(session.benches[variant.arm], variant, opened.split.dev),
    )
