"""Intervals of proportions and of bounded means. Methods and coverage: docs/statistics.md."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.compare.bounds import (
    FEWEST_DEPARTURES,
    RESAMPLES,
    Array,
    Codes,
    bootstrap_t_bounds,
    departing_clusters,
    effective_clusters,
    mean_bounds,
    standard_errors,
    wilson_bounds,
)
from trimtab.types import Interval

FARTHEST = 5.0
"""Times Student's half-width beyond which a bootstrap-t bound of an amount is left open. Skew alone
hardly gets there: of exponential amounts 1% of the samples of 10 do (docs/statistics.md)."""


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """Wilson score interval of a proportion; no bounds for n < 2, no estimate for n == 0.

    Raises ValueError unless 0 <= successes <= n.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} successes out of {n} is not a proportion")
    if n < 2:
        return _without_bounds(float(successes), n, "Wilson", level)
    return _wilson(successes / n, n, n, "Wilson", level)


def mean_interval(
    values: Sequence[float],
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the mean of scores in [0, 1]; `clusters` names the cluster of each value.

    0/1 scores get Wilson's interval, at the effective sample size where rows share clusters; all
    others `bounds.mean_bounds`. Fewer than two independent values have no bounds, n == 0 has no
    estimate. Raises ValueError for a score outside [0, 1].
    """
    scores = np.asarray(values, dtype=np.float64)
    codes = cluster_codes(len(scores), clusters)
    if np.isin(scores, (0.0, 1.0)).all():
        return _proportion_interval(scores, codes, level)
    return _bounded_interval(scores, codes, 0.0, level, seed)


def mean_over_rows(
    scores: Mapping[str, float], clusters: Mapping[str, str], seed: int = 0
) -> Interval:
    """As `mean_interval`, of scores by row; `clusters` names the cluster of each row that has
    one."""
    names = [clusters.get(row, row) for row in scores]
    return mean_interval(list(scores.values()), names, seed=seed)


def difference_interval(
    differences: Sequence[float],
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Interval of the mean of paired differences in [-1, 1] by `bounds.mean_bounds`.

    Fewer than two independent values have no bounds, n == 0 has no estimate. Raises ValueError
    for a value outside [-1, 1].
    """
    values = np.asarray(differences, dtype=np.float64)
    codes = cluster_codes(len(values), clusters)
    return _bounded_interval(values, codes, -1.0, level, seed)


def amount_interval(
    values: Sequence[float],
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    seed: int = 0,
    floor: float | None = None,
) -> Interval:
    """Interval of the mean of amounts of any size, such as money: bootstrap-t over whole clusters,
    and not below `floor`, the least that an amount can be.

    No bounds where fewer than FEWEST_DEPARTURES clusters depart from the most common value: without
    a largest value nothing else bounds the mean. Nor on a side where the bound lies more than
    FARTHEST times as far off as Student's: then a few large values settle the mean, many resamples
    lack them, and the bound is as good as none.
    """
    amounts = np.asarray(values, dtype=np.float64)
    codes = cluster_codes(len(amounts), clusters)
    method = f"bootstrap-t, {RESAMPLES:,} resamples"
    column = amounts[:, None]
    if not len(amounts) or departing_clusters(column, codes)[0] < FEWEST_DEPARTURES:
        return _without_bounds(float(amounts.sum()), len(amounts), method, level)
    (low,), (high,) = bootstrap_t_bounds(column, codes, level, seed)
    reach = FARTHEST * _student(codes, level) * float(standard_errors(column, codes)[0])
    mean = float(amounts.mean())
    least = -math.inf if floor is None else floor
    return Interval(
        estimate=mean,
        low=max(float(low), least) if mean - low <= reach else None,
        high=float(high) if high - mean <= reach else None,
        n=len(amounts),
        method=method,
        level=level,
    )


def _student(codes: Codes, level: float) -> float:
    """Student's quantile for as many clusters."""
    from scipy.special import stdtrit

    return float(stdtrit(int(codes.max()), (1 + level) / 2))


def cluster_codes(n: int, clusters: Sequence[str] | None) -> Codes:
    """Cluster numbers of n values; every value is its own cluster where `clusters` is None."""
    if clusters is None:
        return np.arange(n, dtype=np.intp)
    if len(clusters) != n:
        raise ValueError(f"{n} values but {len(clusters)} cluster names")
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(name, len(numbers)) for name in clusters], dtype=np.intp)


def _bounded_interval(
    values: Array, codes: Codes, floor: float, level: float, seed: int
) -> Interval:
    if len(values) and not (values.min() >= floor and values.max() <= 1):
        raise ValueError(f"values must lie in [{floor:g}, 1]")
    method = f"bootstrap-t, {RESAMPLES:,} resamples"
    if len(values) < 2 or codes.max() == 0:
        return _without_bounds(float(values.sum()), len(values), method, level)
    column = values[:, None]
    if departing_clusters(column, codes)[0] < FEWEST_DEPARTURES:
        method = "score bounds at the largest variance"
    return _of_mean(values, mean_bounds(column, codes, floor, level, seed), method, level)


def _of_mean(values: Array, bounds: tuple[Array, Array], method: str, level: float) -> Interval:
    """The mean of `values` within bounds of one column."""
    low, high = (float(bound[0]) for bound in bounds)
    return Interval(
        estimate=float(values.mean()), low=low, high=high, n=len(values), method=method, level=level
    )


def _proportion_interval(scores: Array, codes: Codes, level: float) -> Interval:
    """Wilson's interval of 0/1 scores, with the effective sample size of clustered rows.

    Effective size p(1-p) / clustered variance, at most n; that of copies where p is 0 or 1.
    Source: Korn & Graubard 1998, Survey Methodology 24:193-201.
    """
    n, successes = len(scores), int(scores.sum())
    groups = int(codes.max()) + 1 if n else 0
    if groups == n:
        return wilson(successes, n, level)
    if groups == 1:
        return _without_bounds(float(successes), n, "Wilson", level)
    mean = successes / n
    error = float(standard_errors(scores[:, None], codes)[0])
    effective = min(n, mean * (1 - mean) / error**2) if error > 0 else effective_clusters(codes)
    method = f"Wilson, effective n {effective:.0f} in {groups} clusters"
    return _wilson(mean, n, effective, method, level)


def _wilson(mean: float, n: int, effective: float, method: str, level: float) -> Interval:
    low, high = wilson_bounds(np.array([mean]), effective, level)
    return Interval(
        estimate=mean, low=float(low[0]), high=float(high[0]), n=n, method=method, level=level
    )


def _without_bounds(total: float, n: int, method: str, level: float) -> Interval:
    estimate = total / n if n else None
    return Interval(estimate=estimate, low=None, high=None, n=n, method=method, level=level)
