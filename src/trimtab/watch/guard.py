"""A challenger in production against the champion, on calls of the same time.

Bounds are betting confidence sequences, which hold at all looks together. A challenger is bad where
its upper bound lies below the champion's lower one by more than the margin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trimtab.store.reviews import ReviewedCall
from trimtab.store.traces import Trace
from trimtab.watch.bets import confidence_sequence
from trimtab.watch.quality import weights
from trimtab.watch.rates import SLOW_SHARE

LEVEL = 0.98
"""Of each bound's two sides together. Three things are compared, each by one side of two bounds,
so a challenger that is as good is taken back with a chance of at most 6 %; the margins make it
less."""

_Bounds = tuple[float | None, float, float]
"""Mean, low and high."""


@dataclass(frozen=True)
class Side:
    """What one variant did: its answers, and those that people reviewed."""

    traces: Sequence[Trace]
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
    if champion.traces and challenger.traces:
        old, new = (_share(side, [trace.valid is True for trace in side.traces]) for side in sides)
        found.append(_bound("validity", old, new, margins.validity))
        if margins.slow_s is not None:
            limit = margins.slow_s
            old, new = (_share(side, [t.latency_s <= limit for t in side.traces]) for side in sides)
            found.append(_bound("latency", _at_most(old, 1 - SLOW_SHARE), new, 0.0))
    if champion.reviewed and challenger.reviewed:
        old, new = (_scores(side.reviewed) for side in sides)
        found.append(_bound("quality", old, new, margins.quality))
    return found


def slow_limit(champion: Sequence[Trace], factor: float, limit_s: float | None) -> float | None:
    """The task's limit of seconds, or else `factor` times the champion's 95th percentile."""
    if limit_s is not None or not champion:
        return limit_s
    seconds = np.array([trace.latency_s for trace in champion])
    return factor * float(np.quantile(seconds, 1 - SLOW_SHARE, method="higher"))


def _share(side: Side, good: Sequence[bool]) -> _Bounds:
    """Of all calls, by those that were kept: a broken answer always is, a good one by chance."""
    most = max(trace.weight for trace in side.traces)
    parts = [trace.weight / most for trace in side.traces]
    return confidence_sequence([float(each) for each in good], parts, LEVEL)


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
