"""How much a prompt's quality hangs on its layout, apart from the luck of few rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from trimtab.compare.bounds import Array
from trimtab.types import LayoutScore, Sensitivity


def sensitivity(scores: Mapping[str, Mapping[str, float | None]], planned: int) -> Sensitivity:
    """Mean, worst and spread of the layouts of one prompt, over the rows that all answered.

    `scores` holds each layout's score by row, None where a call failed; `planned` counts the
    layouts that there are.
    """
    shared = [
        row
        for row in next(iter(scores.values()), {})
        if all(each.get(row) is not None for each in scores.values())
    ]
    table = np.array([[each[row] for row in shared] for each in scores.values()], dtype=np.float64)
    means = [float(row.mean()) if len(row) else None for row in table]
    known = [mean for mean in means if mean is not None]
    parts = components(table)
    return Sensitivity(
        rows=len(shared),
        planned=planned,
        layouts=tuple(
            LayoutScore(style=style, quality=mean)
            for style, mean in zip(scores, means, strict=True)
        ),
        mean=sum(known) / len(known) if known else None,
        worst=min(known, default=None),
        spread=None if parts is None else parts.source**0.5,
    )


@dataclass(frozen=True)
class Components:
    """Parts of the variance of one score: what rows differ in, what a source moves on all rows
    alike, and what it moves on each row on its own."""

    row: float
    source: float
    rest: float


def components(table: Array) -> Components | None:
    """Variance components of scores by variation x row; None for fewer than two of either.

    Two-way analysis of variance without replication. With the mean squares of variations, of rows
    and of the rest: source = (variations - rest) / rows, row = (rows - rest) / variations, each at
    least 0. `source` is what one draw of a variation adds to the variance of a mean score over many
    rows. Source: Searle, Casella & McCulloch 1992, Variance Components, ch. 4.
    """
    if table.ndim != 2 or min(table.shape) < 2:
        return None
    variations, rows = table.shape
    by_variation, by_row = table.mean(axis=1), table.mean(axis=0)
    left = table - by_variation[:, None] - by_row + table.mean()
    rest = float((left**2).sum()) / ((variations - 1) * (rows - 1))
    of_variations = rows * float(by_variation.var(ddof=1))
    of_rows = variations * float(by_row.var(ddof=1))
    return Components(
        row=max(0.0, (of_rows - rest) / variations),
        source=max(0.0, (of_variations - rest) / rows),
        rest=rest,
    )
