"""Several claims at once, and variation beyond the rows: training seeds and prompt formats."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.compare.intervals import difference_interval
from trimtab.types import Interval


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """P-values adjusted so that rejecting those at or below a level errs anywhere with at most that
    chance, however the tests depend on each other; a claim without a p-value is not in the family.

    Source: Holm 1979, Scand. J. Statist. 6:65-70. Raises ValueError for a p outside [0, 1].
    """
    known = {name: p for name, p in p_values.items() if p is not None}
    if not all(0 <= p <= 1 for p in known.values()):
        raise ValueError(f"p-values must lie in [0, 1]: {known}")
    adjusted: dict[str, float | None] = dict.fromkeys(p_values)
    largest = 0.0
    for rank, name in enumerate(sorted(known, key=known.__getitem__)):
        largest = max(largest, min(1.0, (len(known) - rank) * known[name]))
        adjusted[name] = largest
    return adjusted


@dataclass(frozen=True)
class Widened:
    """A difference whose interval allows for more than the choice of rows.

    `halves` are the half-widths of each further source alone. A source in `unknown` was measured
    once only, so its variation cannot be told, and the interval then has no bounds.
    """

    interval: Interval
    halves: dict[str, float]
    unknown: tuple[str, ...]


def widened(
    differences: Sequence[float],
    sources: Mapping[str, Sequence[float]],
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Widened:
    """Interval of the mean difference over rows and over further random sources, such as training
    seeds and prompt formats.

    `differences` holds each row's difference in [-1, 1], averaged over all that was repeated.
    `sources` gives, for each source, the mean difference over the same rows under each of its
    values: one number a seed, one a format. The interval of the rows and Student's intervals of the
    sources are joined by square-and-add; noise of the rows is in both, so it is a little too wide.
    Joining: Zou & Donner 2008, Stat. Med. 27:1693-1702.
    """
    unknown = tuple(name for name, means in sources.items() if len(means) < 2)
    halves = {name: _half(means, level) for name, means in sources.items() if name not in unknown}
    rows = difference_interval(differences, clusters, level, seed)
    names = " and ".join(["rows", *sources])
    interval = rows.model_copy(
        update={"low": None, "high": None, "method": f"square-and-add over {names}"}
    )
    if not unknown and rows.low is not None and rows.high is not None:
        assert rows.estimate is not None
        low = rows.estimate - math.hypot(rows.estimate - rows.low, *halves.values())
        high = rows.estimate + math.hypot(rows.high - rows.estimate, *halves.values())
        bounds = {"low": max(-1.0, low), "high": min(1.0, high)}
        interval = interval.model_copy(update=bounds)
    return Widened(interval, halves, unknown)


def _half(means: Sequence[float], level: float) -> float:
    """Half-width of Student's interval of the mean of two or more values."""
    from scipy.special import stdtrit

    spread = float(np.std(means, ddof=1))
    return float(stdtrit(len(means) - 1, (1 + level) / 2)) * spread / math.sqrt(len(means))
