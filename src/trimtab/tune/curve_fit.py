"""Fits the error of a learning curve as a power of the rows, many resampled curves at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MAX_REACH = 8
"""Trimtab's own limit, from the design: nothing is said beyond 8x the largest measured size."""
DRAWS = 1_000
_LOCALITY = 0.5
"""Weights grow with rows to this power: the end of the curve says most about what follows."""
_BEND = 0.15
"""Relative error of the predicted gain at 2x, growing with the root of the doublings. Lets the
curve depart from both forms; on real curves 0.15 brought coverage from 58-97% to 85-98%
(docs/statistics.md)."""
_EXPONENTS = np.geomspace(0.02, 2.0, 48)


@dataclass(frozen=True)
class Curve:
    """Error at each trained size, ascending: (K,) rows, errors and their standard deviations."""

    rows: Array
    errors: Array
    sds: Array

    def first(self, sizes: int) -> Curve:
        return Curve(self.rows[:sizes], self.errors[:sizes], self.sds[:sizes])


def error_draws(curve: Curve, at: Array, seed: int) -> Array:
    """(DRAWS, N) likely errors at the sizes `at`, spread by this curve's own forecast errors.

    The spread about the median is multiplied by the root mean square of the standardised errors
    that the same forecast made from the curve's first 3, 4, ... sizes (rolling origin), where that
    exceeds 1. Needs three sizes; with exactly three there is no such check.
    """
    draws = _unchecked_draws(curve, at, seed)
    middle = np.median(draws, axis=0)
    return middle + _inflation(curve, seed) * (draws - middle)


def _inflation(curve: Curve, seed: int) -> float:
    misses: list[float] = []
    for sizes in range(3, len(curve.rows)):
        start = curve.first(sizes)
        later = slice(sizes, int(np.searchsorted(curve.rows, MAX_REACH * start.rows[-1], "right")))
        draws = _unchecked_draws(start, curve.rows[later], seed)
        missed = curve.errors[later] - np.median(draws, axis=0)
        misses.extend(missed**2 / (draws.var(axis=0) + curve.sds[later] ** 2))
    return max(1.0, float(np.sqrt(np.mean(misses)))) if misses else 1.0


def _unchecked_draws(curve: Curve, at: Array, seed: int) -> Array:
    """Errors at `at` of curves redrawn within their points' errors; half of each form."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(DRAWS, len(curve.rows)))
    redrawn = np.clip(curve.errors + curve.sds * noise, 0.0, 1.0)
    half = DRAWS // 2
    scale = curve.rows[-1]
    floors, gains, exponents = np.concatenate(
        [
            _fit(curve, redrawn[:half], with_floor=False),
            _fit(curve, redrawn[half:], with_floor=True),
        ],
        axis=1,
    )[:, :, None]
    base = floors + gains
    fitted = floors + gains * (at / scale) ** -exponents
    doublings = np.log2(np.maximum(at / scale, 1.0))
    bend = np.exp(_BEND * np.sqrt(doublings) * rng.normal(size=(DRAWS, 1)))
    bent: Array = base + (fitted - base) * bend
    return bent


def _fit(curve: Curve, errors: Array, *, with_floor: bool) -> Array:
    """(3, B) floor, gain and exponent: error = floor + gain (rows / largest)^-exponent, both >= 0.

    Weighted least squares, in closed form at each exponent of a grid; the best exponent is kept.
    """
    powers = (curve.rows / curve.rows[-1]) ** -_EXPONENTS[:, None]
    weights = (curve.rows / curve.rows[-1]) ** _LOCALITY / curve.sds**2
    total = weights.sum()
    first = powers @ weights
    second = powers**2 @ weights
    mean = (errors @ weights)[:, None]
    cross = (errors * weights) @ powers.T
    gain = cross / second
    floor = np.zeros_like(gain)
    if with_floor:
        determinant = total * second - first**2
        free_floor = (second * mean - first * cross) / determinant
        free_gain = (total * cross - first * mean) / determinant
        gain = np.where(free_floor > 0, free_gain, gain)
        floor = np.maximum(free_floor, 0.0)
    rising = gain < 0
    floor = np.where(rising, mean / total, floor)
    gain = np.where(rising, 0.0, gain)
    explained = gain * cross + floor * mean
    best = explained.argmax(axis=1)
    draw = np.arange(len(errors))
    return np.stack([floor[draw, best], gain[draw, best], _EXPONENTS[best]])
