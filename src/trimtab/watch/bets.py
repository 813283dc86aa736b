"""Stakes on the mean of bounded values that may be looked at at any time, for months.

A stake on "the mean lies beyond `null`" is spread over constant bets, each of which multiplies its
part by 1 + f w d at each value: d is the distance from `null` on that side, over the largest
distance on the other one, w in (0, 1] the value's weight. Where the mean does not lie beyond
`null`, the stake does not grow on average, so it ever reaches c with a chance of at most 1/c
(Ville). Source: Waudby-Smith & Ramdas 2023, JRSS-B 86:1-27; weights for sampled values:
Waudby-Smith, Wu, Ramdas, Karampatziakis & Mineiro 2022, Anytime-valid off-policy inference for
contextual bandits.

A change that comes late would have to win back what a stake lost in quiet times. So a new stake is
begun every so many days and all are added up. A sum of K stakes has the mean K at most, and ever
reaches K/alpha with a chance of at most alpha (Doob). Source of the sum: Shin, Ramdas & Rinaldo
2024, NEJSDS (e-detectors).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Side = Literal["above", "below"]

HALF_YEAR_DAYS = 182.0
"""Time over which a detector's chance of a false alarm is counted."""
START_DAYS = 61.0
"""Days between stakes on quality, for which values are few: each more costs evidence."""

_LARGEST = 0.98
"""Below 1, so that one value cannot lose a whole stake."""
_EDGE = 1e-6
_HALVINGS = 40
_LARGEST_LOG = 700.0


@dataclass(frozen=True)
class Bets:
    """Fractions in (0, 1) and the share of the stake on each; the shares sum to 1."""

    fractions: tuple[float, ...]
    shares: tuple[float, ...]


def halving_bets(count: int = 8) -> Bets:
    """Fractions 0.98, 0.49, ... with equal shares: for changes of unknown size."""
    fractions = tuple(_LARGEST * 0.5**k for k in range(count))
    return Bets(fractions, (1 / count,) * count)


def drop_bets(null: float, drops: dict[float, float]) -> Bets:
    """Bets that grow fastest where right-or-wrong values with the mean `null` lose one of `drops`,
    given with their shares: such a bet has the fraction drop / null."""
    fractions = tuple(min(_LARGEST, drop / max(null, _EDGE)) for drop in drops)
    total = sum(drops.values())
    return Bets(fractions, tuple(share / total for share in drops.values()))


def path(values: Array, weights: Array, null: float, side: Side, bets: Bets) -> Array:
    """Logarithm of the stake before the first of the values in [0, 1] and after each of them."""
    played = np.vstack([np.zeros(len(bets.fractions)), _gains(values, weights, null, side, bets)])
    return _join(np.cumsum(played, axis=0), bets)


def restarted_path(
    times: Array,
    values: Array,
    weights: Array,
    null: float,
    side: Side,
    bets: Bets,
    start_days: float = START_DAYS,
) -> Array:
    """Logarithm of the sum of all stakes begun by then, after each value.

    Args:
        times: of each value, in days since the first stake was begun, rising.
    """
    if not len(values):
        return np.zeros(0)
    gains = _gains(values, weights, null, side, bets)
    total = np.full(len(values), -math.inf)
    for start in np.arange(0.0, float(times[-1]) + 1e-9, start_days):
        first = int(np.searchsorted(times, start))
        begun = _join(np.cumsum(gains[first:], axis=0), bets)
        total[first:] = np.logaddexp(total[first:], begun)
    return total


def enough(alpha: float, start_days: float = START_DAYS) -> float:
    """Logarithm of the sum of stakes that raises an alarm, which is false with a chance of at most
    `alpha` in half a year."""
    return math.log(math.ceil(HALF_YEAR_DAYS / start_days) / alpha)


def confidence_sequence(
    values: Sequence[float],
    weights: Sequence[float],
    level: float = 0.95,
    times: Sequence[int] | None = None,
) -> tuple[float | None, float, float]:
    """Weighted mean, and bounds of the true one that hold at all looks together; 0 and 1 where
    nothing is known. Weights in (0, 1] are as of a stake. `times`: how often each value came with
    its weight, if not once; their order does not matter."""
    scores, parts = np.asarray(values, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if not len(scores):
        return None, 0.0, 1.0
    counts = np.ones(len(scores)) if times is None else np.asarray(times, dtype=np.float64)
    bets, limit = halving_bets(), math.log(2 / (1 - level))

    def refuted(mean: float, side: Side) -> bool:
        return bool(_join(counts @ _gains(scores, parts, mean, side, bets), bets) >= limit)

    low, high = 0.0, 1.0
    above, below = 1.0, 0.0  # means that are not refuted from that side
    for _ in range(_HALVINGS):
        middle = (low + above) / 2
        low, above = (middle, above) if refuted(middle, "above") else (low, middle)
        middle = (high + below) / 2
        high, below = (middle, below) if refuted(middle, "below") else (high, middle)
    return float((scores * parts) @ counts / (parts @ counts)), low, high


def _gains(values: Array, weights: Array, null: float, side: Side, bets: Bets) -> Array:
    """Logarithm by which each value multiplies each bet, shape (values, bets)."""
    if len(values) and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError("a stake needs values in [0, 1]")
    if len(weights) and not (weights.min() > 0 and weights.max() <= 1):
        raise ValueError("a stake needs weights above 0 and up to 1")
    null = min(max(null, _EDGE), 1 - _EDGE)
    distance = (values - null) / null if side == "above" else (null - values) / (1 - null)
    return np.log1p(np.outer(weights * distance, np.array(bets.fractions)))


def _join(logs: Array, bets: Bets) -> Array:
    """Logarithm of the bets' sum by their shares, over the last axis."""
    weighted = logs + np.log(np.array(bets.shares))
    largest = weighted.max(axis=-1)
    joined = largest + np.log(np.exp(weighted - largest[..., None]).sum(axis=-1))
    return np.asarray(np.minimum(joined, _LARGEST_LOG), dtype=np.float64)
