"""How much is asked of a served task, and how long its callers wait: for the next decision.

Seconds are counted in steps, hour by hour, so memory does not grow with the calls. Calls of one
hour meet the same load and are alike, so hours are what is drawn for the interval.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from trimtab.compare.bounds import Array
from trimtab.store.traces import Trace
from trimtab.store.watching import Traffic, whole_hour
from trimtab.types import Interval
from trimtab.watch.seconds import seconds_of, step_of

DAYS = 7
"""A week: volume and load go by the day of the week."""
AGAIN_AFTER = timedelta(days=1)
"""It is counted once a day, since it reads all calls of these days."""
FEWEST_HOURS = 24
_P95 = 0.95
_DRAWS = 1_000
_TAILS = (0.025, 0.975)

_Hours = Mapping[datetime, Mapping[int, float]]
"""Calls by hour and step of seconds."""


def traffic(
    traces: Iterable[Trace], since: datetime, until: datetime, champion: str
) -> Traffic | None:
    """What callers asked from `since` to `until`, a day at least; None for less, or without answers
    of the champion."""
    if until - since < timedelta(hours=FEWEST_HOURS):
        return None
    calls, timed = 0.0, 0
    hours: dict[datetime, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for trace in traces:
        if trace.role == "shadow":
            continue
        calls += trace.weight
        if trace.role == "champion" and trace.variant == champion and trace.output is not None:
            timed += 1
            hours[whole_hour(trace.time)][step_of(trace.latency_s)] += trace.weight
    if not hours:
        return None
    return Traffic(
        since=since, until=until, calls=calls, variant=champion, timed=timed, p95_s=_p95(hours)
    )


def _p95(hours: _Hours) -> Interval:
    """The weighted 95th percentile over all calls, up to a step too high; no bounds for less than a
    day with calls."""
    steps = sorted({step for counts in hours.values() for step in counts})
    counts = np.array([[of.get(step, 0.0) for step in steps] for of in hours.values()])
    seconds = np.array([seconds_of(step) for step in steps])
    low = high = None
    if len(counts) >= FEWEST_HOURS:
        rng = np.random.default_rng(0)
        drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), _DRAWS)
        low, high = np.quantile(seconds[_places(drawn @ counts)], _TAILS).tolist()
    return Interval(
        estimate=float(seconds[_places(counts.sum(axis=0)[None])[0]]),
        low=low,
        high=high,
        n=len(counts),
        method="bootstrap of hours",
    )


def _places(counts: Array) -> NDArray[np.intp]:
    """Column in which the 95th percentile of each row's calls lies."""
    passed = np.cumsum(counts, axis=1)
    places: NDArray[np.intp] = (passed < _P95 * passed[:, -1:] * (1 - 1e-12)).sum(axis=1)
    return places
