"""Which labels are taken for which: a table of counts, and the F1 of every label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.compare.bounds import RESAMPLES, Array, Codes, cluster_totals, resamples
from trimtab.compare.intervals import cluster_codes
from trimtab.types import Interval, LabelTable, Scored

_METHOD = f"percentile bootstrap, {RESAMPLES:,} resamples"


def label_table(
    outcomes: Mapping[str, Scored],
    targets: Mapping[str, str],
    labels: Sequence[str],
    clusters: Sequence[str] | None = None,
    seed: int = 0,
) -> LabelTable:
    """The table of judged answers; `targets` maps example ids to labels, `clusters` names the
    cluster of each outcome.

    F1 of a label is 2 x right / (times it was the target + times it was answered), undefined where
    that is 0. Macro-F1 is the mean of those that are defined. It belongs to the whole table and not
    to a row, so it has a bootstrap over whole clusters, and no paired test can use it.
    """
    number = {label: place for place, label in enumerate(labels)}
    width = len(labels) + 1
    cells = np.array(
        [
            number[targets[example]] * width + _answered(outcome, number)
            for example, outcome in outcomes.items()
        ],
        dtype=np.intp,
    )
    counts = np.bincount(cells, minlength=len(labels) * width).reshape(len(labels), width)
    scores = _f1(counts[None].astype(np.float64))[0]
    return LabelTable(
        labels=tuple(labels),
        counts=tuple(tuple(row) for row in counts.tolist()),
        f1=tuple(None if np.isnan(score) else float(score) for score in scores),
        macro_f1=_macro_f1(cells, (len(labels), width), clusters, seed),
    )


def _answered(outcome: Scored, number: Mapping[str, int]) -> int:
    label = outcome.parsed
    return number[label] if outcome.valid and isinstance(label, str) else len(number)


def _macro_f1(
    cells: Codes, shape: tuple[int, int], clusters: Sequence[str] | None, seed: int
) -> Interval:
    n = len(cells)
    codes = cluster_codes(n, clusters)
    groups = int(codes.max()) + 1 if n else 0
    if not n:
        return Interval(estimate=None, low=None, high=None, n=0, method=_METHOD)
    one_hot = np.zeros((n, shape[0] * shape[1]))
    one_hot[np.arange(n), cells] = 1
    totals, _ = cluster_totals(one_hot, codes)
    estimate = float(_mean(_f1(totals.sum(axis=0).reshape(1, *shape)))[0])
    low = high = None
    if groups > 1:
        drawn = np.concatenate(
            [_mean(_f1((block @ totals).reshape(-1, *shape))) for block in resamples(groups, seed)]
        )
        low, high = (float(q) for q in np.quantile(drawn, (0.025, 0.975), method="weibull"))
    return Interval(estimate=estimate, low=low, high=high, n=n, method=_METHOD)


def _f1(counts: Array) -> Array:
    """(R, L) scores of the labels from (R, L, L + 1) counts; NaN where undefined."""
    asked = counts.sum(axis=2)
    answered = counts[:, :, :-1].sum(axis=1)
    right = np.diagonal(counts, axis1=1, axis2=2)
    undefined = np.full(right.shape, np.nan)
    total = asked + answered
    scores: Array = np.divide(2 * right, total, out=undefined, where=total > 0)
    return scores


def _mean(scores: Array) -> Array:
    """(R,) means over the labels whose score is defined, of which there always is one."""
    mean: Array = np.nanmean(scores, axis=1)
    return mean
