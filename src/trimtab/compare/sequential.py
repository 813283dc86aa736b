"""Paired tests that may be looked at after every row, by betting on bounded differences.

A bettor who cannot gain on average under a hypothesis multiplies the stake by 1/alpha with a
chance of at most alpha, at whatever moment one looks (Ville's inequality). The stake is spread over
a geometric grid of constant bets, which covers small and large effects alike and makes the stake
independent of the order of the rows. Source: Waudby-Smith & Ramdas 2023, JRSS-B 86:1-27. Simulated
error rates, power and savings: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np

from trimtab.compare.bounds import Array
from trimtab.compare.intervals import cluster_codes
from trimtab.types import Comparison, Interval, Sequential

_LARGEST_BET = 0.98
"""Below 1, so that one row at the worst value cannot lose the whole stake."""
_LARGEST_LOG = 700.0
"""Larger evidence would overflow a float; it is told as e^700."""
_HALVINGS = 50
"""Of the interval [-1, 1], down to 2e-15, when a bound is searched."""

Side = Literal["above", "below"]


class PairedBet:
    """Evidence that a paired gain is above 0 (`superior`) or below `least` (`futile`), row by row.

    With a true mean gain of at most 0 the chance that `superior` ever becomes true is at most
    `alpha`; with one of at least `least` so is that of `futile`. Both may hold: a gain above 0 that
    is too small to matter. Raises ValueError unless 0 < least < 1 and 0 < alpha < 1.
    """

    def __init__(self, least: float, alpha: float) -> None:
        self._enough = _enough(least, alpha)
        self._above = _Stake(0.0, "above", least)
        self._below = _Stake(least, "below", least)
        self.superior = False
        """Whether the evidence against a gain of at most 0 ever reached 1/alpha."""
        self.futile = False
        """Whether the evidence against a gain of at least `least` ever reached 1/alpha."""

    def add(self, difference: float) -> None:
        """One more row. Raises ValueError for a difference outside [-1, 1]."""
        if not -1 <= difference <= 1:
            raise ValueError(f"a paired difference must lie in [-1, 1], not {difference}")
        self._above.play_row(difference)
        self._below.play_row(difference)
        self.superior = self.superior or self._above.log_e >= self._enough
        self.futile = self.futile or self._below.log_e >= self._enough

    @property
    def e_superior(self) -> float:
        """Times that the stake against "the mean gain is at most 0" has multiplied."""
        return self._above.e

    @property
    def e_futile(self) -> float:
        """Times that the stake against "the mean gain is at least `least`" has multiplied."""
        return self._below.e


class Looks:
    """A paired comparison that grows block by block, and says when its answer is clear.

    Each of its claims is wrong with a chance of at most `alpha`, however often one looks.
    `largest_cluster` is the most rows that share a cluster: rows of one cluster are played as one
    bet, in proportion to their number, since only whole clusters are independent. Where a gain is
    one of several `claims`, superior asks for that many times the evidence.
    """

    def __init__(
        self, least: float, alpha: float, largest_cluster: int = 1, claims: int = 1
    ) -> None:
        self._enough = _enough(least, alpha)
        self._enough_of_several = self._enough + math.log(claims)
        self._least, self._alpha, self._largest = least, alpha, largest_cluster
        self._totals: list[Array] = []
        self._weights: list[Array] = []
        self._superior = _Stake(0.0, "above", least)
        self._futile = _Stake(least, "below", least)
        self._as_good = _Stake(-least, "above", least)
        self._worse = _Stake(-least, "below", least)
        self._sum, self._rows = 0.0, 0
        self._clear_after: int | None = None

    def add(self, differences: Sequence[float], clusters: Sequence[str] | None = None) -> None:
        """The next rows, whole clusters only. Raises ValueError for one outside [-1, 1]."""
        totals, weights = _by_cluster(differences, clusters, self._largest)
        for stake in (self._superior, self._futile, self._as_good, self._worse):
            stake.play(totals, weights)
        self._totals.append(totals)
        self._weights.append(weights)
        self._sum += float(sum(differences))
        self._rows += len(differences)
        if self._clear_after is None and self.outcome != "open":
            self._clear_after = self._rows

    @property
    def outcome(self) -> Literal["superior", "futile", "open"]:
        """What is clear by now; `open` while more rows could still change the answer.

        Superior: the gain is above 0, and at least `least` as measured. Futile: it is below
        `least`, and it is known as well whether the loss stays below `least`, on which a cheaper
        variant's claim to be as good rests.
        """
        if self._rows and self._sum / self._rows >= self._least:
            return "superior" if self._superior.log_e >= self._enough_of_several else "open"
        either = max(self._as_good.log_e, self._worse.log_e)
        return "futile" if min(self._futile.log_e, either) >= self._enough else "open"

    def result(self, rows_saved: int) -> Sequential:
        """What the looks found, with an interval that allows for them; `rows_saved` is told."""
        low = high = None
        if sum(map(len, self._totals)) >= 2:
            totals, weights = np.concatenate(self._totals), np.concatenate(self._weights)
            low = _lower_bound(totals, weights, self._least, self._enough)
            high = -_lower_bound(-totals, weights, self._least, self._enough)
        interval = Interval(
            estimate=self._sum / self._rows if self._rows else None,
            low=low,
            high=high,
            n=self._rows,
            method="betting confidence sequence",
            level=1 - 2 * self._alpha,
        )
        return Sequential(
            outcome=self.outcome,
            rows_used=self._rows,
            rows_saved=rows_saved,
            looks=len(self._totals),
            clear_after=self._clear_after,
            e_superior=self._superior.e,
            e_futile=self._futile.e,
            interval=interval,
        )


class Standing:
    """Whether a mean score in [0, 1] is clearly above or below a goal, however often one looks.

    Either claim is wrong with a chance of at most `alpha`; `least` is the smallest distance that
    matters, `largest_cluster` as of `Looks`.
    """

    def __init__(self, goal: float, least: float, alpha: float, largest_cluster: int = 1) -> None:
        self._enough = _enough(least, alpha)
        self._goal, self._largest = goal, largest_cluster
        self._above = _Stake(0.0, "above", least)
        self._below = _Stake(0.0, "below", least)

    def add(self, scores: Sequence[float], clusters: Sequence[str] | None = None) -> None:
        """The next rows, whole clusters only."""
        distances = [score - self._goal for score in scores]
        totals, weights = _by_cluster(distances, clusters, self._largest)
        self._above.play(totals, weights)
        self._below.play(totals, weights)

    @property
    def clear(self) -> bool:
        return max(self._above.log_e, self._below.log_e) >= self._enough


def sequential_comparison(
    differences: Sequence[float],
    least: float,
    alpha: float,
    block: int,
    clusters: Sequence[str] | None = None,
    first_look: int = 0,
) -> Sequential:
    """The paired gain, looked at after every `block` rows until it is clear or the rows end.

    `differences` lie in [-1, 1], in an order that does not depend on them; `clusters` names the
    cluster of each and a cluster's rows stay in one block. Nothing is stopped before `first_look`
    rows. Each claim is wrong with a chance of at most `alpha`; the interval has level 1 - 2 alpha.
    Raises ValueError for a difference outside its range, or a block of no rows.
    """
    looks = Looks(least, alpha, largest_cluster(clusters))
    start = 0
    for end in block_ends(len(differences), block, clusters):
        looks.add(differences[start:end], clusters[start:end] if clusters is not None else None)
        start = end
        if end >= first_look and looks.outcome != "open":
            break
    return looks.result(len(differences) - start)


def deciding(comparison: Comparison, looked: Sequential) -> Comparison:
    """`comparison` of the rows that were looked at, with the interval and p-value that decide.

    Where looking saved rows, those that allow for it: an interval of a fixed number of rows is too
    narrow once the rows end at a moment of one's choosing.
    """
    if not looked.rows_saved:
        return comparison.model_copy(update={"sequential": looked})
    return comparison.model_copy(
        update={
            "difference": looked.interval,
            "fixed_rows": comparison.difference,
            "test": f"betting, {looked.looks} looks",
            "p_value": 2 / max(2.0, looked.e_superior),
            "sequential": looked,
        }
    )


def block_ends(rows: int, block: int, clusters: Sequence[str] | None = None) -> list[int]:
    """Where each block ends: after `block` rows or more, and never inside a cluster.

    Raises ValueError for a block of no rows.
    """
    if block < 1:
        raise ValueError(f"a block needs at least one row, not {block}")
    last = {name: i for i, name in enumerate(clusters)} if clusters is not None else {}
    ends, begun, whole = [], 0, 0
    for end in range(1, rows + 1):
        if clusters is not None:
            whole = max(whole, last[clusters[end - 1]] + 1)
        if end == rows or (end - begun >= block and end >= whole):
            ends.append(end)
            begun = end
    return ends


def largest_cluster(clusters: Sequence[str] | None) -> int:
    """The most rows that share a cluster; 1 where none do."""
    return max(Counter(clusters).values(), default=1) if clusters is not None else 1


class _Stake:
    """The logarithm of a stake on the mean of differences lying beyond `null`, on one side.

    A bet of the fraction f multiplies its part of the stake by 1 + f x, where x is the difference
    less `null`, scaled so that the worst difference gives -1.
    """

    def __init__(self, null: float, side: Side, least: float) -> None:
        self._null, self._sign = null, 1.0 if side == "above" else -1.0
        self._bets = _bets(least)
        self._logs = np.zeros(len(self._bets))

    def play(self, totals: Array, weights: Array) -> None:
        """Bet on what `_by_cluster` gives."""
        excess = self._sign * (totals - self._null * weights) / (1 + self._sign * self._null)
        self._logs += np.log1p(np.outer(self._bets, excess)).sum(axis=1)

    def play_row(self, difference: float) -> None:
        """Bet on a row that is its own cluster."""
        excess = self._sign * (difference - self._null) / (1 + self._sign * self._null)
        self._logs += np.log1p(self._bets * excess)

    @property
    def log_e(self) -> float:
        return _log_mean(self._logs)

    @property
    def e(self) -> float:
        return math.exp(min(self.log_e, _LARGEST_LOG))


def _by_cluster(
    differences: Sequence[float], clusters: Sequence[str] | None, largest: int
) -> tuple[Array, Array]:
    """Sums of differences over clusters and the clusters' sizes, in units of the largest cluster.

    Raises ValueError for a difference outside [-1, 1].
    """
    values = np.asarray(differences, dtype=np.float64)
    if not (np.abs(values) <= 1).all():
        raise ValueError(f"paired differences must lie in [-1, 1]: {values}")
    codes = cluster_codes(len(values), clusters)
    return np.bincount(codes, weights=values) / largest, np.bincount(codes) / largest


def _bets(least: float) -> Array:
    """Fractions that halve from _LARGEST_BET until one is no more than `least`.

    The fraction that grows fastest is the mean gain over the mean squared difference, which is at
    most 1: no gain that matters asks for a bet smaller than `least`.
    """
    halvings = max(0, math.ceil(math.log2(_LARGEST_BET / least)))
    return np.array([_LARGEST_BET * 0.5**halving for halving in range(halvings + 1)])


def _lower_bound(totals: Array, weights: Array, least: float, enough: float) -> float:
    """The mean up to which the logarithm of a stake on a larger mean is `enough`; -1 where none.

    That stake falls as the mean that it bets against grows, so the bound is found by bisection.
    """
    bets = _bets(least)[:, None]
    low, high = -1.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        excess = (totals - middle * weights) / (1 + middle)
        if _log_mean(np.log1p(bets * excess).sum(axis=1)) >= enough:
            low = middle
        else:
            high = middle
    return low


def _log_mean(logs: Array) -> float:
    """Logarithm of the mean of exp(logs)."""
    largest = float(logs.max())
    return largest + math.log(float(np.exp(logs - largest).mean()))


def _enough(least: float, alpha: float) -> float:
    """Logarithm of the evidence that settles a claim."""
    if not (0 < least < 1 and 0 < alpha < 1):
        raise ValueError(f"least ({least}) and alpha ({alpha}) must lie between 0 and 1")
    return -math.log(alpha)
