"""Latencies counted in steps of 1 %, so that percentiles need no list of calls."""

from __future__ import annotations

import math
from collections.abc import Mapping

_STEP = math.log(1.01)
_LEAST_S = 1e-4


def step_of(seconds: float) -> int:
    """The step that a latency lies in."""
    return math.ceil(math.log(max(seconds, _LEAST_S)) / _STEP - 1e-9)


def seconds_of(step: int) -> float:
    """The upper end of a step."""
    return math.exp(step * _STEP)


def percentile(calls: Mapping[int, float], share: float) -> float | None:
    """Seconds that `share` of the calls do not exceed, up to 1 % too many; None without calls.

    Args:
        calls: how many there are in each step.
    """
    total, passed = sum(calls.values()), 0.0
    for step in sorted(calls):
        passed += calls[step]
        if passed >= share * total * (1 - 1e-12):
            return seconds_of(step)
    return None
