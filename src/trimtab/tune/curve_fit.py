"""How the error of a learning curve goes on: three laws, averaged by how well each explains it.

With x the logarithm of rows over the largest size, s the slope at the end and b = s (1 + o):

    power law             log error = level - s x
    power law with floor  log error = level + log((o + exp(-b x)) / (1 + o))
    rectified law         log error = level - log((o + exp(+b x)) / (1 + o))

Written this way the laws have one slope at the end in common and differ in how it goes on: it
stays, it flattens towards a floor of the share o / (1 + o), or it steepens towards b. The last is
what fine-tuning does while its rows are few beside what pretraining is worth: Lin et al. 2024,
Selecting Large Language Model to Fine-tune via Rectified Scaling Law, ICML.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_REACH = 8
"""Trimtab's own limit, from the design: nothing is said beyond 8x the largest measured size."""
FEWEST_SIZES = 3
DRAWS = 2_000
_LOG_2 = float(np.log(2.0))
_STEEPEST = 1.0
"""Of all slopes: no error is known to fall faster than in inverse proportion to the rows."""
_SLOPES = np.array([0.0, *np.geomspace(0.005, _STEEPEST, 44)])
_ODDS = 2.0 ** np.arange(-2, 3)
"""Of both curved laws: the share of the floor over the rest, or what pretraining is worth in rows
(to the power b) over the largest size."""
_WANDER = np.geomspace(0.05, 0.8, 5)
"""Random departures from a law over one doubling, relative to the step that the law makes in it. On
real curves 0.1 to 0.2 is likeliest (docs/statistics.md)."""
_LEAST_NOISE = 0.001
"""Least relative error of a measured point, which keeps weights finite."""
_PRIOR_FORECASTS = 3
"""Forecasts with errors as large as claimed that the curve's own are added to."""


@dataclass(frozen=True)
class Curve:
    """Error at each trained size, ascending: (K,) rows, errors and their standard deviations."""

    rows: Array
    errors: Array
    sds: Array

    def first(self, sizes: int) -> Curve:
        return Curve(self.rows[:sizes], self.errors[:sizes], self.sds[:sizes])


def error_draws(curve: Curve, at: Array, seed: int) -> Array:
    """(DRAWS, N) likely errors at the ascending sizes `at`: draws of the law, its place and its
    departures.

    The spread about the median is scaled by the root mean square of the standardised errors that
    the same forecast made from the curve's first 3, 4, ... sizes (rolling origin), drawn towards 1
    by _PRIOR_FORECASTS. Needs three sizes; with exactly three there is no such check.
    """
    draws = _unchecked_draws(curve, at, seed)
    middle = np.median(draws, axis=0)
    return np.exp(middle + _scale(curve, seed) * (draws - middle))


def _scale(curve: Curve, seed: int) -> float:
    misses: list[float] = []
    logs, noise = _logarithms(curve)
    for sizes in range(FEWEST_SIZES, len(curve.rows)):
        start = curve.first(sizes)
        later = slice(sizes, int(np.searchsorted(curve.rows, MAX_REACH * start.rows[-1], "right")))
        draws = _unchecked_draws(start, curve.rows[later], seed)
        low, middle, high = np.quantile(draws, (0.16, 0.5, 0.84), axis=0)
        misses.extend((logs[later] - middle) ** 2 / ((high - low) ** 2 / 4 + noise[later]))
    return math.sqrt((_PRIOR_FORECASTS + sum(misses)) / (_PRIOR_FORECASTS + len(misses)))


def _unchecked_draws(curve: Curve, at: Array, seed: int) -> Array:
    """Logarithms of likely errors at `at`."""
    rng = np.random.default_rng(seed)
    laws = _laws()
    fit = _Fit(curve, laws)
    picked = rng.choice(len(fit.weights), DRAWS, p=fit.weights)
    x = np.log(at / curve.rows[-1])
    level = fit.level[picked] + fit.level_sd[picked] * rng.normal(size=DRAWS)
    departed = fit.departures(x, picked)
    ahead = np.maximum(x, 0.0) / _LOG_2
    steps = np.sqrt(np.diff(ahead, prepend=0.0)) * rng.normal(size=(DRAWS, len(at)))
    wandered = laws.wander[picked, None] * np.cumsum(steps, axis=1)
    drawn: Array = level[:, None] + laws.shape(x, picked) + departed + wandered
    return drawn


@dataclass(frozen=True)
class _Laws:
    """(M,) laws on a grid of slopes, odds and amounts of wandering, with their prior."""

    slope: Array
    odds: Array
    sign: Array
    """+1 flattens towards a floor, -1 steepens."""
    wander: Array
    """Standard deviation of the departures from the law over one doubling."""
    prior: Array

    def shape(self, x: Array, picked: NDArray[np.intp] | slice = slice(None)) -> Array:
        """(M, N) log error less its level, at `x` = log(rows / largest)."""
        odds, sign = self.odds[picked, None], self.sign[picked, None]
        steepness = self.slope[picked, None] * (1 + odds)
        logs: Array = sign * (np.log(odds + np.exp(-sign * steepness * x)) - np.log1p(odds))
        return logs


@cache
def _laws() -> _Laws:
    """Each slope alike likely; given it each law; given both, each of its odds and wanderings."""
    cells = []
    for slope in _SLOPES:
        allowed = [odds for odds in _ODDS if slope > 0 and slope * (1 + odds) <= _STEEPEST]
        laws = 3 if allowed else 1
        straight = [(0.0, 1.0, 1 / laws)]
        share = 1 / (laws * max(1, len(allowed)))
        curved = [(odds, sign, share) for odds in allowed for sign in (1.0, -1.0)]
        cells += [
            (slope, odds, sign, wander * slope * _LOG_2, share)
            for odds, sign, share in straight + curved
            for wander in _WANDER
        ]
    slope, odds, sign, wander, prior = np.array(cells).T
    return _Laws(slope, odds, sign, wander, prior)


class _Fit:
    """How likely each law is for a curve, and at which level it then runs.

    The measured logarithms are level + law + departures + noise. The departures are a random walk
    from the largest size backwards, so what was measured near the end says most about what follows.
    """

    def __init__(self, curve: Curve, laws: _Laws) -> None:
        logs, noise = _logarithms(curve)
        self._back = np.log(curve.rows / curve.rows[-1])
        self._variance = laws.wander**2
        walked = _shared_walk(self._back, self._back)
        inverse = np.linalg.inv(np.diag(noise) + self._variance[:, None, None] * walked)
        residual = logs - laws.shape(self._back)
        pull = inverse.sum(axis=2)
        precision = pull.sum(axis=1)
        self.level = (pull * residual).sum(axis=1) / precision
        self.level_sd = 1 / np.sqrt(precision)
        left = residual - self.level[:, None]
        self._explained = np.einsum("mij,mj->mi", inverse, left)
        evidence = (
            np.linalg.slogdet(inverse)[1] - np.log(precision) - (left * self._explained).sum(axis=1)
        ) / 2
        weights = laws.prior * np.exp(evidence - evidence.max())
        self.weights = weights / weights.sum()

    def departures(self, x: Array, picked: NDArray[np.intp]) -> Array:
        """(B, N) expected departures from the picked laws; 0 beyond the largest size."""
        shared = _shared_walk(x, self._back)
        expected: Array = self._variance[picked, None] * (self._explained[picked] @ shared.T)
        return expected


def _shared_walk(x: Array, y: Array) -> Array:
    """Doublings that walks back from the largest size to `x` and to `y` have in common."""
    common: Array = np.minimum.outer(np.maximum(-x, 0.0), np.maximum(-y, 0.0)) / _LOG_2
    return common


def _logarithms(curve: Curve) -> tuple[Array, Array]:
    """Logarithms of the errors and the variances of their noise; no error is taken to be below its
    own standard deviation, where its logarithm would be arbitrary."""
    errors = np.maximum(curve.errors, curve.sds)
    return np.log(errors), np.maximum(curve.sds / errors, _LEAST_NOISE) ** 2
