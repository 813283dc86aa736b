"""The arithmetic of confidence bounds, on columns of numbers. See docs/statistics.md.

Columns are independent samples of the same rows; they share the resamples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Codes = NDArray[np.intp]
"""Cluster number of each row, 0 to G - 1, each used."""

RESAMPLES = 2_000
FEWEST_DEPARTURES = 10
"""Clusters that must depart from the most common value before a bootstrap is trusted: with fewer,
its simulated coverage falls to 40-93%, because most resamples hardly see them."""
_CELLS_AT_ONCE = 2_000_000
"""Largest block of resamples x clusters held in memory."""


def z_value(level: float) -> float:
    """Two-sided normal quantile: 1.96 for `level` 0.95."""
    return NormalDist().inv_cdf((1 + level) / 2)


def wilson_bounds(means: Array, n: float, level: float) -> tuple[Array, Array]:
    """Wilson's score bounds of proportions `means` of `n` > 0 trials; `n` may be an effective size.

    Source: Wilson 1927, JASA 22:209-212.
    """
    z2 = z_value(level) ** 2
    centre = (means + z2 / (2 * n)) / (1 + z2 / n)
    variance = np.maximum(means * (1 - means), 0.0) / n + z2 / (4 * n * n)
    half = np.sqrt(z2 * variance) / (1 + z2 / n)
    low = np.where(means <= 0, 0.0, np.maximum(0.0, centre - half))
    high = np.where(means >= 1, 1.0, np.minimum(1.0, centre + half))
    return low, high


def mean_bounds(
    columns: Array, codes: Codes, floor: float, level: float, seed: int
) -> tuple[Array, Array]:
    """Bounds of the mean of each column of (n, S) values in [`floor`, 1], `floor` being 0 or -1.

    Bootstrap-t over whole clusters, never wider than `score_bounds`, and those alone where fewer
    than FEWEST_DEPARTURES clusters depart from the most common value: a sample of equal values
    still gets an interval.
    """
    low, high = score_bounds(columns, effective_clusters(codes), floor, level)
    trusted = departing_clusters(columns, codes) >= FEWEST_DEPARTURES
    if trusted.any():
        t_low, t_high = bootstrap_t_bounds(columns[:, trusted], codes, level, seed)
        low[trusted] = np.fmax(low[trusted], t_low)
        high[trusted] = np.fmin(high[trusted], t_high)
    return low, high


def effective_clusters(codes: Codes) -> float:
    """As many independent rows as the rows are worth where those of a cluster are copies: n^2 over
    the sum of squared sizes, which is the number of clusters where all are of one size.

    Source: Kish 1965, Survey Sampling.
    """
    sizes = np.bincount(codes).astype(np.float64)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def score_bounds(columns: Array, groups: float, floor: float, level: float) -> tuple[Array, Array]:
    """Wilson bounds of the positive and of the negative part, joined by square-and-add.

    `groups` are the rows' `effective_clusters`. Conservative: of all variables in [0, 1] with the
    same mean a 0/1 variable varies most, and clusters cost most when their rows are copies.
    Joining: Newcombe 1998, Stat. Med. 17:873-890; Zou & Donner 2008, Stat. Med. 27:1693-1702.
    """
    up = np.maximum(columns, 0.0).mean(axis=0)
    up_low, up_high = wilson_bounds(up, groups, level)
    if floor == 0:
        return up_low, up_high
    down = np.maximum(-columns, 0.0).mean(axis=0)
    down_low, down_high = wilson_bounds(down, groups, level)
    low = up - down - np.hypot(up - up_low, down_high - down)
    high = up - down + np.hypot(up_high - up, down - down_low)
    return np.maximum(low, -1.0), np.minimum(high, 1.0)


def bootstrap_t_bounds(
    columns: Array, codes: Codes, level: float, seed: int
) -> tuple[Array, Array]:
    """Bootstrap-t bounds of each column's mean, whole clusters resampled.

    A resample without spread counts as an infinite t, which widens the interval; a sample without
    spread gives NaN. Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, ch. 12.
    """
    centre = columns.mean(axis=0)
    totals, sizes = cluster_totals(columns - centre, codes)
    blocks = []
    for weights in resamples(len(sizes), seed):
        means, errors = _ratio_means(weights, totals, sizes)
        infinite = np.copysign(np.inf, means)
        blocks.append(np.divide(means, errors, out=infinite, where=errors > 0))
    tail = (1 - level) / 2
    t_low, t_high = np.quantile(
        np.concatenate(blocks), (tail, 1 - tail), axis=0, method="inverted_cdf"
    )
    error = standard_errors(columns, codes)
    with np.errstate(invalid="ignore"):  # an infinite t times an error of 0 is NaN, as promised
        return centre - t_high * error, centre - t_low * error


def standard_errors(columns: Array, codes: Codes) -> Array:
    """Standard error of each column's mean with the clusters as the independent units (>= 2)."""
    totals, sizes = cluster_totals(columns - columns.mean(axis=0), codes)
    error: Array = _ratio_means(np.ones((1, len(sizes))), totals, sizes)[1][0]
    return error


def departing_clusters(columns: Array, codes: Codes) -> NDArray[np.intp]:
    """How many clusters of each column hold a value other than the column's most common one."""
    departing = np.empty(columns.shape[1], dtype=np.intp)
    for position, column in enumerate(columns.T):
        values, counts = np.unique(column, return_counts=True)
        departing[position] = len(np.unique(codes[column != values[counts.argmax()]]))
    return departing


def sign_flip_p(values: Array, codes: Codes, flips: int, seed: int) -> float:
    """Two-sided p of mean 0 when each cluster's differences may change sign together.

    (1 + flips at least as far from 0 as the data) / (1 + flips): Phipson & Smyth 2010, Stat. Appl.
    Genet. Mol. Biol. 9:39.
    """
    totals = cluster_totals(values[:, None], codes)[0][:, 0]
    totals = totals[totals != 0]
    if not len(totals):
        return 1.0
    rng = np.random.default_rng(seed)
    seen = abs(totals.sum()) * (1 - 1e-12)
    extreme = 0
    for rows in blocks(flips, len(totals)):
        signs = rng.integers(0, 2, (rows, len(totals)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ totals) >= seen).sum())
    return (1 + extreme) / (1 + flips)


def _ratio_means(weights: Array, totals: Array, sizes: Array) -> tuple[Array, Array]:
    """(R, S) means and their linearised errors where clusters count `weights` (R, G) times."""
    rows = (weights @ sizes)[:, None]
    means = weights @ totals / rows
    squares = (
        weights @ totals**2
        - 2 * means * (weights @ (totals * sizes[:, None]))
        + means**2 * (weights @ sizes**2)[:, None]
    )
    groups = len(sizes)
    errors = np.sqrt(np.maximum(squares, 0.0) * groups / (groups - 1)) / rows
    return means, errors


def cluster_totals(columns: Array, codes: Codes) -> tuple[Array, Array]:
    """(G, S) sums and (G,) sizes of the clusters."""
    sizes = np.bincount(codes).astype(np.float64)
    totals = np.zeros((len(sizes), columns.shape[1]))
    np.add.at(totals, codes, columns)
    return totals, sizes


def resamples(groups: int, seed: int) -> Iterator[Array]:
    """Blocks of resamples: how often each of the clusters was drawn, RESAMPLES rows in all."""
    rng = np.random.default_rng(seed)
    for rows in blocks(RESAMPLES, groups):
        drawn = rng.integers(0, groups, (rows, groups))
        drawn += np.arange(rows)[:, None] * groups
        counts = np.bincount(drawn.ravel(), minlength=rows * groups)
        yield counts.reshape(rows, groups).astype(np.float64)


def blocks(rows: int, width: int) -> Iterator[int]:
    """Row counts that sum to `rows`; no block has more than some 2 million cells, if `width` is no
    more."""
    largest = max(1, _CELLS_AT_ONCE // width)
    for _ in range(math.ceil(rows / largest)):
        yield min(largest, rows)
        rows -= largest
