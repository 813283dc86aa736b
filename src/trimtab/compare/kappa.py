"""Agreement of two graders of the same things."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trimtab.compare.bounds import RESAMPLES, Array, cluster_totals, resamples
from trimtab.compare.intervals import cluster_codes
from trimtab.types import Interval

_METHOD = f"percentile bootstrap, {RESAMPLES:,} resamples"


def weighted_kappa(
    pairs: Sequence[tuple[float, float]],
    clusters: Sequence[str] | None = None,
    seed: int = 0,
) -> Interval:
    """Cohen's kappa with quadratic weights of (grade, grade) pairs, whole clusters resampled.

    1 - mean squared difference / the one expected where each grader keeps his grades and gives them
    to things at random. On fractional grades it is Lin's concordance coefficient. Undefined where
    both give one and the same grade throughout; a resample like that counts as no agreement, 0.
    Sources: Cohen 1968, Psychol. Bull. 70:213-220; Lin 1989, Biometrics 45:255-268.
    """
    n = len(pairs)
    names = cluster_codes(n, clusters)
    if not n:
        return _interval(None, None, n)
    one, other = np.asarray(pairs, dtype=np.float64).T
    sums = np.column_stack([one, other, one**2, other**2, (one - other) ** 2])
    totals, sizes = cluster_totals(sums, names)
    (estimate,) = _kappa(totals.sum(axis=0)[None] / n)
    if np.isnan(estimate):
        return _interval(None, None, n)
    if len(sizes) < 2:
        return _interval(float(estimate), None, n)
    drawn = np.concatenate(
        [_kappa(block @ totals / (block @ sizes)[:, None]) for block in resamples(len(sizes), seed)]
    )
    low, high = np.quantile(np.nan_to_num(drawn, nan=0.0), (0.025, 0.975), method="weibull")
    return _interval(float(estimate), (float(low), float(high)), n)


def _kappa(means: Array) -> Array:
    """From (R, 5) means of both grades, their squares and their squared difference."""
    one, other, one_squared, other_squared, difference = means.T
    expected = one_squared + other_squared - 2 * one * other
    undefined = np.full(len(means), np.nan)
    kappas: Array = 1 - np.divide(difference, expected, out=undefined, where=expected > 1e-12)
    return kappas


def _interval(estimate: float | None, bounds: tuple[float, float] | None, n: int) -> Interval:
    low, high = bounds or (None, None)
    return Interval(estimate=estimate, low=low, high=high, n=n, method=_METHOD)
