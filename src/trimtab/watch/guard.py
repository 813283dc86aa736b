"""A challenger in production against the champion, on calls of the same time.

Bounds are betting confidence sequences, which hold at all looks together. A challenger is bad where
its upper bound lies below the champion's lower one by more than the margin.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trimtab.store.reviews import ReviewedCall
from trimtab.store.watching import SideCounts
from trimtab.watch.bets import confidence_sequence
from trimtab.watch.quality import weights
from trimtab.watch.rates import SLOW_SHARE
from trimtab.watch.seconds import percentile, seconds_of

LEVEL = 0.98
"""Of each bound's two sides together. Three things are compared, each by one side of two bounds,
so a challenger that is as good is taken back with a chance of at most 6 %; the margins make it
less."""

_Bounds = tuple[float | None, float, float]
"""Mean, low and high."""


@dataclass(frozen=True)
class Side:
    """What one variant did: its calls, and those that people reviewed."""

    calls: SideCounts
    reviewed: Sequence[ReviewedCall]


@dataclass(frozen=True)
class Margins:
    """What a challenger may lose. `slow_s`: seconds that one call in twenty may exceed; None where
    that is not looked at."""

    validity: float
    quality: float
    slow_s: float | None = None


@dataclass(frozen=True)
class Bound:
    """One thing that was compared. `behind`: worse than is borne as measured, which may be chance;
    `bad`: clearly so."""

    kind: Literal["validity", "latency", "quality"]
    state: Literal["bad", "behind", "fine"]
    message: str


def against(champion: Side, challenger: Side, margins: Margins) -> list[Bound]:
    """All that can be compared; nothing where a side has no calls yet."""
    found = []
    sides = (champion, challenger)
    if champion.calls.valid and challenger.calls.valid:
        old, new = (_share(side.calls.valid) for side in sides)
        found.append(_bound("validity", old, new, margins.validity))
        if margins.slow_s is not None:
            old, new = (_fast(side.calls, margins.slow_s) for side in sides)
            found.append(_bound("latency", _at_most(old, 1 - SLOW_SHARE), new, 0.0))
    if champion.reviewed and challenger.reviewed:
        old, new = (_scores(side.reviewed) for side in sides)
        found.append(_bound("quality", old, new, margins.quality))
    return found


def slow_limit(champion: SideCounts, factor: float, limit_s: float | None) -> float | None:
    """The task's limit of seconds, or else `factor` times the champion's 95th percentile."""
    if limit_s is not None:
        return limit_s
    calls: dict[int, float] = defaultdict(float)
    for step, weight, n in champion.seconds:
        calls[step] += weight * n
    usual = percentile(calls, 1 - SLOW_SHARE)
    return None if usual is None else factor * usual


def _fast(calls: SideCounts, slow_s: float) -> _Bounds:
    """The share of calls within the limit, up to a step of 1 %."""
    return _share([(seconds_of(step) <= slow_s, weight, n) for step, weight, n in calls.seconds])


def _share(outcomes: Sequence[tuple[bool, float, int]]) -> _Bounds:
    """Of all calls, by those that were kept: a broken answer always is, a good one by chance.

    Args:
        outcomes: whether it is good, the weight of such calls, and how many there are.
    """
    most = max(weight for _, weight, _ in outcomes)
    good, parts, times = zip(*((float(g), w / most, n) for g, w, n in outcomes), strict=True)
    return confidence_sequence(good, parts, LEVEL, times)


def _at_most(bounds: _Bounds, most: float) -> _Bounds:
    """One call in twenty may be slow, whatever the champion does."""
    mean, low, high = bounds
    return None if mean is None else min(mean, most), min(low, most), min(high, most)


def _scores(calls: Sequence[ReviewedCall]) -> _Bounds:
    return confidence_sequence([c.score for c in calls], weights(calls).tolist(), LEVEL)


def _bound(
    kind: Literal["validity", "latency", "quality"], old: _Bounds, new: _Bounds, margin: float
) -> Bound:
    assert old[0] is not None and new[0] is not None
    state: Literal["bad", "behind", "fine"] = "fine"
    if new[0] < old[0] - margin:
        state = "behind"
    if new[2] < old[1] - margin:
        state = "bad"
    name = {"validity": "valid", "latency": "fast enough", "quality": "quality"}[kind]
    message = (
        f"{name} {new[0]:.3f} [{new[1]:.3f}, {new[2]:.3f}], the champion {old[0]:.3f} "
        f"[{old[1]:.3f}, {old[2]:.3f}], margin {margin:g}"
    )
    return Bound(kind, state, message)
