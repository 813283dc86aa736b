"""Several claims at once, and variation beyond the rows: training seeds and prompt formats."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from trimtab.compare.bounds import z_value
from trimtab.types import Comparison, Interval

FEWEST_DRAWS = 3
"""Of two draws hardly anything is known: Student's interval with one degree of freedom is some six
times as wide as one with many."""


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
class Spread:
    """How far a difference moves from one draw of a source to the next: a standard deviation,
    without the noise of few rows, from so many draws; None where it cannot be told."""

    draws: int
    deviation: float | None


@dataclass(frozen=True)
class Widened:
    """A difference whose interval allows for more than the choice of rows.

    `halves` are the half-widths of each further source alone. A source in `unknown` was drawn fewer
    than FEWEST_DRAWS times, so its variation cannot be told, and it is not in the interval.
    """

    interval: Interval
    halves: dict[str, float]
    unknown: tuple[str, ...]


def widened(rows: Interval, spreads: Mapping[str, Spread]) -> Widened:
    """Interval of a difference over rows and over further random sources, such as training seeds
    and prompt formats.

    `rows` is the difference's interval over rows alone, measured under one draw of each source: one
    seed, one format. The difference under another draw departs from it by the source's deviation,
    so each adds Student's quantile times that, by square-and-add.
    Joining: Zou & Donner 2008, Stat. Med. 27:1693-1702.
    """
    halves, unknown = {}, []
    for name, spread in spreads.items():
        if spread.deviation is None or spread.draws < FEWEST_DRAWS:
            unknown.append(name)
        else:
            halves[name] = _quantile(spread.draws, rows.level) * spread.deviation
    interval = rows
    if halves and rows.low is not None and rows.high is not None:
        assert rows.estimate is not None
        low = rows.estimate - math.hypot(rows.estimate - rows.low, *halves.values())
        high = rows.estimate + math.hypot(rows.high - rows.estimate, *halves.values())
        interval = rows.model_copy(
            update={
                "low": max(-1.0, low),
                "high": min(1.0, high),
                "method": f"{rows.method}; widened by {' and '.join(halves)}",
            }
        )
    return Widened(interval, halves, tuple(unknown))


def over_draws(comparison: Comparison, spreads: Mapping[str, Spread]) -> Comparison:
    """The comparison with its interval widened by `spreads`, and a p-value that is not below what
    that interval says."""
    found = widened(comparison.difference, spreads)
    p_value = comparison.p_value
    if found.halves and p_value is not None:
        p_value = max(p_value, _p_of(found.interval))
    return comparison.model_copy(
        update={
            "difference": found.interval,
            "p_value": p_value,
            "rows_alone": comparison.difference if found.halves else None,
            "rows_alone_p": comparison.p_value if found.halves else None,
            "widened_by": found.halves,
            "not_in_interval": found.unknown,
        }
    )


def _p_of(interval: Interval) -> float:
    """Two-sided p of no difference, from the side of a normal interval that faces 0."""
    estimate, low, high = interval.estimate, interval.low, interval.high
    if estimate is None or low is None or high is None:
        return 0.0
    reach = (estimate - low if estimate > 0 else high - estimate) / z_value(interval.level)
    return 2 * NormalDist().cdf(-abs(estimate) / reach) if reach > 0 else 0.0


def _quantile(draws: int, level: float) -> float:
    """Student's, for a deviation from so many draws."""
    from scipy.special import stdtrit

    return float(stdtrit(draws - 1, (1 + level) / 2))
