"""Quality of the served answers, from those that people reviewed, however they were chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from trimtab.compare.bounds import Array
from trimtab.store.reviews import ReviewedCall
from trimtab.store.watching import Reading
from trimtab.types import Interval
from trimtab.watch.bets import confidence_sequence, drop_bets, enough, restarted_path

ALPHA = 0.04
"""Chance of a false alarm in half a year. With those of drift.py and rates.py it makes 5 %; quality
has most of it, since reviewed answers are few and calls are many."""

DROPS = {0.05: 0.7, 0.1: 0.1, 0.2: 0.1, 0.4: 0.1}
"""Losses that the bets are made for, with their shares of the stake. Most of it is for the
smallest, which takes longest to see."""


@dataclass(frozen=True)
class Floor:
    """Quality below which retraining is called for, and the sealed test that it was taken from."""

    value: float
    reference: Interval | None = None


def find_floor(reference: Interval | None, tolerance: float, fixed: float | None) -> Floor | None:
    """The fixed floor, or the sealed test's estimate less the tolerance, and no higher than that
    test's own lower bound: what may be chance of the test is no loss. None where neither is known.
    """
    if fixed is not None:
        return Floor(fixed, reference)
    if reference is None or reference.estimate is None or reference.low is None:
        return None
    value = min(reference.estimate - tolerance, reference.low)
    return Floor(value, reference) if value > 0 else None


def time_of(call: ReviewedCall) -> datetime:
    """When it was served: ids of traces begin with milliseconds in hex."""
    return datetime.fromtimestamp(int(call.trace[:12], 16) / 1000, UTC)


def weights(calls: Sequence[ReviewedCall]) -> Array:
    """What each reviewed call counts: the smallest probability of its draw over its own.

    A call that was drawn because it looked wrong stands for few others, one of the random share for
    many. Each draw is weighed by itself, since what it drew from is known before anyone answers.
    Raises ValueError for a probability outside (0, 1].
    """
    least: dict[int, float] = {}
    for call in calls:
        if not 0 < call.probability <= 1:
            raise ValueError("a probability of being reviewed must lie above 0 and be at most 1")
        least[call.batch] = min(least.get(call.batch, 1.0), call.probability)
    shares = [least[call.batch] / call.probability for call in calls]
    return np.array(shares, dtype=np.float64)


def live_quality(calls: Sequence[ReviewedCall], level: float = 0.95) -> Interval:
    """Mean quality of the traffic that the reviewed calls were drawn from. Holds at all looks."""
    mean, low, high = confidence_sequence([c.score for c in calls], weights(calls).tolist(), level)
    return Interval(
        estimate=mean,
        low=low if calls else None,
        high=high if calls else None,
        n=len(calls),
        method="betting confidence sequence, weighted by inclusion",
        level=level,
    )


def quality(calls: Sequence[ReviewedCall], since: datetime, least: Floor | None) -> Reading:
    """Whether quality is clearly below the floor, on calls served from `since` on."""
    ordered = sorted((c for c in calls if time_of(c) >= since), key=lambda call: call.trace)
    if least is None:
        return _unknown(
            "no floor is known: this variant met no sealed test; set quality.floor in watch.yaml"
        )
    if not ordered:
        return _unknown("no served call was reviewed yet; `trimtab review` asks for some")
    days = np.array([(time_of(call) - since).total_seconds() / 86_400 for call in ordered])
    scores = np.array([call.score for call in ordered])
    parts = weights(ordered)
    stake = fall(days, scores, parts, least.value)
    fallen = stake >= enough(ALPHA)
    mean = float((scores * parts).sum() / parts.sum())
    told = "clearly" if fallen else "not clearly"
    return Reading(
        kind="quality",
        state="alarm" if fallen else "quiet",
        message=f"quality {mean:.3f} on {len(ordered)} reviewed calls, {told} below the floor of "
        f"{least.value:.3f}",
        figures={
            "quality": mean,
            "floor": least.value,
            "reviewed": float(len(ordered)),
            "evidence": stake / enough(ALPHA),
        },
    )


def fall(days: Array, scores: Array, parts: Array, least: float) -> float:
    """Logarithm of the stakes on a mean score below `least`; `enough(ALPHA)` raises an alarm.

    Args:
        days: since the first stake, rising.
        scores: in [0, 1].
        parts: weights in (0, 1].
    """
    bets = drop_bets(least, DROPS)
    return float(restarted_path(days, scores, parts, least, "below", bets)[-1])


def _unknown(message: str) -> Reading:
    return Reading(kind="quality", state="unknown", message=message)
