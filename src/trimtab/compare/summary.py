"""All that was measured of one variant on one split, from its records."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from trimtab.compare.intervals import mean_interval, mean_over_rows
from trimtab.compare.records import answer_key, answered, first_repeats, metric_of, scored
from trimtab.errors import RunError
from trimtab.types import (
    Failed,
    Interval,
    Latency,
    Record,
    Scored,
    SplitName,
    Variant,
    VariantScore,
)


def summarise(
    variant: Variant,
    split: SplitName,
    records: Sequence[Record],
    metric: str,
    seed: int = 0,
    *,
    clusters: Mapping[str, str] | None = None,
    prompt_tokens: float | None = None,
    latency: Latency | None = None,
    agreement: Interval | None = None,
) -> VariantScore:
    """Scores of `variant` over its repeat-0 records; failed records are counted and in no mean.

    `clusters` maps example ids to clusters (an example outside it stands alone). What is measured
    apart, `prompt_tokens`, `latency` and `agreement`, is passed through. Raises RunError where
    records are of another variant, an example occurs twice or a record lacks `metric`. Another
    metric is the mean over the records that have it.
    """
    if records and records[0].variant != variant.id:
        raise RunError(f"records of variant {records[0].variant} given for {variant.id}")
    firsts = first_repeats(records)
    outcomes = scored(firsts)

    def over_examples(values: Mapping[str, float]) -> Interval:
        names = [clusters.get(e, e) for e in values] if clusters else None
        return mean_interval(list(values.values()), names, seed=seed)

    others = sorted({name for outcome in outcomes.values() for name in outcome.metrics} - {metric})
    metrics = {metric: over_examples({e: metric_of(o, metric, e) for e, o in outcomes.items()})}
    for name in others:
        found = {e: o.metrics[name] for e, o in outcomes.items() if name in o.metrics}
        metrics[name] = over_examples(found)
    failed = Counter(r.outcome.boundary for r in firsts.values() if isinstance(r.outcome, Failed))
    completions = answered(records).values()
    return VariantScore(
        variant=variant.id,
        name=variant.name,
        arm=variant.arm,
        split=split,
        n=len(outcomes),
        failures=failed.total(),
        failure_boundaries=dict(failed),
        quality=metrics[metric],
        metrics=metrics,
        validity=over_examples({e: float(o.valid) for e, o in outcomes.items()}),
        tokens_in=_mean([c.tokens_in for c in completions]),
        tokens_cached=_mean([c.tokens_cached for c in completions]),
        tokens_out=_mean([c.tokens_out for c in completions]),
        prompt_tokens=prompt_tokens,
        latency=latency,
        agreement=agreement,
    )


def agreement(
    records: Sequence[Record], clusters: Mapping[str, str] | None = None, seed: int = 0
) -> Interval:
    """Share of pairs of repeats whose parsed answers are equal, averaged over examples.

    Invalid answers agree with nothing, failed ones form no pair; examples with fewer than two
    scored repeats are left out. No such example: no estimate. `clusters` maps example ids to
    clusters, as in `compare`.
    """
    repeats: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if isinstance(record.outcome, Scored):
            repeats[record.example].append(record)
    shares = {}
    for example, of_example in repeats.items():
        pairs = len(of_example) * (len(of_example) - 1)
        if pairs:
            answers = Counter(a for r in of_example if (a := answer_key(r)) is not None)
            shares[example] = sum(c * (c - 1) for c in answers.values()) / pairs
    return mean_over_rows(shares, clusters or {}, seed)


def _mean(values: Sequence[int]) -> float | None:
    return sum(values) / len(values) if values else None
