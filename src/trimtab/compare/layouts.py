"""How much a prompt's quality hangs on its layout, apart from the luck of few rows."""

from __future__ import annotations

from collections.abc import Mapping

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
    variance = layout_variance(table)
    return Sensitivity(
        rows=len(shared),
        planned=planned,
        layouts=tuple(
            LayoutScore(style=style, quality=mean)
            for style, mean in zip(scores, means, strict=True)
        ),
        mean=sum(known) / len(known) if known else None,
        worst=min(known, default=None),
        spread=None if variance is None else variance**0.5,
    )


def layout_variance(table: Array) -> float | None:
    """Variance of a layout's true mean score; None for fewer than two layouts or rows.

    `table` is layouts x rows. Two-way analysis of variance without replication, rows as blocks:
    (mean square of layouts - mean square of the rest) / rows, at least 0. It is what one draw of a
    layout adds to the variance of a measured score. Source: Searle, Casella & McCulloch 1992,
    Variance Components, ch. 4.
    """
    if table.ndim != 2 or min(table.shape) < 2:
        return None
    layouts, rows = table.shape
    means = table.mean(axis=1)
    rest = table - means[:, None] - table.mean(axis=0) + table.mean()
    of_rest = float((rest**2).sum()) / ((layouts - 1) * (rows - 1))
    of_layouts = rows * float(means.var(ddof=1))
    return float(max(0.0, (of_layouts - of_rest) / rows))
