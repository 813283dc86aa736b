"""Paired comparison of two variants over the examples that both answered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from trimtab.compare.bounds import Array, Codes, sign_flip_p, standard_errors, z_value
from trimtab.compare.intervals import cluster_codes, difference_interval
from trimtab.compare.records import first_repeats, metric_of, scored
from trimtab.errors import RunError
from trimtab.types import Comparison, Interval, Record

FLIPS = 10_000
_LEVEL = 0.95
_POWER = 0.80
_REACH = z_value(_LEVEL) + z_value(2 * _POWER - 1)
"""z.975 + z.80 = 2.80: how many standard errors a difference must be to be seen with 80% power."""


def compare(
    a: Sequence[Record],
    b: Sequence[Record],
    metric: str,
    clusters: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Comparison:
    """Difference `b - a` of `metric` (in [0, 1]) over the examples that both scored at repeat 0.

    0/1 metrics without shared clusters: Tango's score interval and the exact McNemar test; all
    others: `difference_interval` and a sign-flip permutation test over whole clusters.
    `clusters` maps example ids to clusters; an example outside it is its own cluster.
    Raises RunError where a side has no records, mixes variants or lacks the metric.
    """
    if not a or not b:
        raise RunError("a comparison needs records of both variants")
    shared, of_a, of_b = shared_scores(a, b, metric)
    names = [clusters.get(e, e) for e in shared] if clusters else shared
    wins, losses = int((of_b > of_a).sum()), int((of_b < of_a).sum())
    alone = len(set(names)) == len(shared)
    if alone and np.isin(of_a, (0.0, 1.0)).all() and np.isin(of_b, (0.0, 1.0)).all():
        difference = tango(wins, losses, len(shared))
        test, p_value = "exact McNemar", mcnemar(wins, losses) if shared else None
    else:
        difference = difference_interval((of_b - of_a).tolist(), names, _LEVEL, seed)
        test = f"sign-flip permutation, {FLIPS:,} flips"
        p_value = sign_flip_p(of_b - of_a, cluster_codes(len(names), names), FLIPS, seed)
    return Comparison(
        a=a[0].variant,
        b=b[0].variant,
        metric=metric,
        n=len(shared),
        difference=difference,
        test=test,
        p_value=p_value,
        smallest_detectable=_detectable(of_b - of_a, cluster_codes(len(names), names)),
        wins=wins,
        losses=losses,
        ties=len(shared) - wins - losses,
        failures_a=_failures(a),
        failures_b=_failures(b),
    )


def shared_scores(
    a: Sequence[Record], b: Sequence[Record], metric: str
) -> tuple[list[str], Array, Array]:
    """Examples that both scored at repeat 0, in the order of `a`, and the scores of each side."""
    scored_a, scored_b = scored(first_repeats(a)), scored(first_repeats(b))
    shared = [example for example in scored_a if example in scored_b]
    of_a = np.array([metric_of(scored_a[e], metric, e) for e in shared])
    of_b = np.array([metric_of(scored_b[e], metric, e) for e in shared])
    return shared, of_a, of_b


def rows_to_settle(comparison: Comparison, difference: float) -> int | None:
    """Rows needed to see a true `difference` > 0 with 80% power at the 5% level.

    Scales the measured spread: n (smallest detectable / difference)^2. None where that is unknown.
    """
    if comparison.smallest_detectable is None:
        return None
    return math.ceil(comparison.n * (comparison.smallest_detectable / difference) ** 2)


def _failures(records: Sequence[Record]) -> int:
    firsts = first_repeats(records)
    return len(firsts) - len(scored(firsts))


def mcnemar(wins: int, losses: int) -> float:
    """Exact two-sided p of equal wins and losses: binomial tail with probability 1/2, doubled.

    Source: McNemar 1947, Psychometrika 12:153-157.
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))


def tango(wins: int, losses: int, n: int, level: float = _LEVEL) -> Interval:
    """Score interval of the paired difference of proportions, (wins - losses) / n.

    Inverts the score test behind McNemar's. No bounds for n < 2, no estimate for n == 0.
    Source: Tango 1998, Stat. Med. 17:891-908.
    """
    estimate = (wins - losses) / n if n else None
    low = high = None
    if n >= 2:
        low = _tango_low(wins, losses, n, z_value(level))
        high = -_tango_low(losses, wins, n, z_value(level))
    return Interval(estimate=estimate, low=low, high=high, n=n, method="Tango score", level=level)


def _tango_low(wins: int, losses: int, n: int, z: float) -> float:
    """Where the score statistic, which falls as the difference grows, crosses z: by bisection."""
    low, high = -1.0, (wins - losses) / n
    for _ in range(60):  # halves [-1, 1] down to the spacing of floats
        middle = (low + high) / 2
        if _tango_statistic(middle, wins, losses, n) > z:
            low = middle
        else:
            high = middle
    return high


def _tango_statistic(difference: float, wins: int, losses: int, n: int) -> float:
    """Distance from `difference` in standard errors, at the most likely loss rate under it."""
    b = (2 * n - wins + losses) * difference - wins - losses
    c = -losses * difference * (1 - difference)
    loss_rate = (math.sqrt(max(b * b - 8 * n * c, 0.0)) - b) / (4 * n)
    variance = n * (2 * loss_rate + difference * (1 - difference))
    gap = wins - losses - n * difference
    return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap)


def _detectable(differences: Array, codes: Codes) -> float | None:
    """Smallest detectable difference; None without two clusters or without any spread."""
    if not len(codes) or codes.max() == 0:
        return None
    error = float(standard_errors(differences[:, None], codes)[0])
    return _REACH * error if error > 0 else None
