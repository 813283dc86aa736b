"""Contract, latency and cost of all calls, hour by hour, against limits that they should keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from trimtab.compare.bounds import Array
from trimtab.store.traces import Trace
from trimtab.store.watching import AlarmKind, Hour, Reading, whole_hour
from trimtab.task.spec import ModelSpec, Task
from trimtab.types import VariantScore
from trimtab.watch.bets import enough, halving_bets, restarted_path
from trimtab.watch.seconds import percentile

ALPHAS: dict[AlarmKind, float] = {"contract": 0.001, "latency": 0.0015, "cost": 0.0015}
"""Chances of a false alarm in half a year."""

START_DAYS = 7.0
"""Days between stakes: hours are many, so that many stakes can be paid for."""

SLOW_SHARE = 0.05
"""What a limit of the 95th percentile leaves above it."""
SLOWER = 1.5
DEARER = 1.25
"""Where the task file has no limit: times the first window's own, before an alarm."""
_MOST_COST = 4.0
"""An hour's mean cost counts as no more than so many limits, since a stake needs bounded values."""
_LEAST_BROKEN = 0.001
"""A limit of exactly no broken answer could not be told from a limit of few."""


@dataclass(frozen=True)
class Limits:
    """What calls should keep; None where nothing says it yet."""

    broken: float
    """Share of calls without a valid answer."""
    slow_s: float | None = None
    cost: float | None = None


def limits(task: Task, spec: ModelSpec, score: VariantScore | None) -> Limits:
    """From the task's goals and constraints. Broken answers may be as many as the sealed test's
    interval allows, where that is more than the goal has. Money limits calls only where the model
    has prices: without them calls are counted in tokens."""
    broken = 1 - task.goals.validity
    if score is not None and score.validity.low is not None:
        broken = max(broken, 1 - score.validity.low)
    money = task.constraints.money_per_1000_calls if spec.prices else None
    return Limits(
        broken=min(max(broken, _LEAST_BROKEN), 0.99),
        slow_s=task.constraints.p95_latency_seconds,
        cost=None if money is None else money / 1000,
    )


def learnt_limits(known: Limits, seconds: Mapping[int, float], first: Sequence[Hour]) -> Limits:
    """`known`, with what it lacks taken from the first window's calls.

    Args:
        seconds: calls by step of seconds.
        first: its hours.
    """
    slow_s, cost = known.slow_s, known.cost
    if slow_s is None and (usual := percentile(seconds, 1 - SLOW_SHARE)) is not None:
        slow_s = SLOWER * usual
    calls = sum(hour.calls for hour in first)
    if cost is None and calls:
        mean = sum(hour.cost for hour in first) / calls
        cost = DEARER * mean if mean > 0 else None
    return Limits(known.broken, slow_s, cost)


def cost_of(trace: Trace, spec: ModelSpec) -> float:
    """Money of a call at the task file's prices; without prices, its tokens."""
    read, cached, written = trace.tokens_in or 0, trace.tokens_cached or 0, trace.tokens_out or 0
    if spec.prices is None:
        return float(read - cached + written)
    return spec.prices.of(read, cached, written)


class HourSums:
    """Calls summed by the hour, each with the weight of those that it stands for."""

    def __init__(self, spec: ModelSpec, slow_s: float | None, counted: Iterable[Hour] = ()) -> None:
        self._spec = spec
        self._slow_s = slow_s
        self._sums = {h.start: [h.calls, h.broken, h.slow, h.cost] for h in counted}

    def add(self, trace: Trace) -> None:
        start = whole_hour(trace.time)
        sums = self._sums.setdefault(start, [0.0, 0.0, 0.0, 0.0])
        weight = trace.weight
        sums[0] += weight
        if trace.valid is not True:
            sums[1] += weight
        if self._slow_s is not None and trace.latency_s > self._slow_s:
            sums[2] += weight
        sums[3] += weight * cost_of(trace, self._spec)

    @property
    def hours(self) -> tuple[Hour, ...]:
        return tuple(
            Hour(start=start, calls=sums[0], broken=sums[1], slow=sums[2], cost=sums[3])
            for start, sums in sorted(self._sums.items())
        )


def hours(traces: Iterable[Trace], spec: ModelSpec, slow_s: float | None) -> tuple[Hour, ...]:
    """The sums of these calls, by the hour."""
    sums = HourSums(spec, slow_s)
    for trace in traces:
        sums.add(trace)
    return sums.hours


def rates(
    seen: Sequence[Hour], known: Limits, since: dict[AlarmKind, datetime], begun: datetime
) -> list[Reading]:
    """Whether calls break their contract too often, are too slow or too dear.

    Args:
        seen: hours in which the limits were known, oldest first.
        since: when the stakes of each kind begin; `begun` where it is not named.
    """

    def of(kind: AlarmKind) -> list[Hour]:
        return [hour for hour in seen if hour.start >= since.get(kind, begun)]

    def first(kind: AlarmKind) -> datetime:
        return since.get(kind, begun)

    found = [_contract(of("contract"), known.broken, first("contract"))]
    days = _by_day(of("latency"))
    if known.slow_s is None or not days:
        found.append(_unknown("latency", "no window with a limit of seconds is over yet"))
    else:
        found.append(_latency(days, known.slow_s, first("latency")))
    if known.cost is None or not of("cost"):
        found.append(_unknown("cost", "no window with a limit of cost is over yet"))
    else:
        found.append(_cost(of("cost"), known.cost, first("cost")))
    return found


def _contract(seen: Sequence[Hour], limit: float, begun: datetime) -> Reading:
    if not seen:
        return _unknown("contract", "no call was answered yet")
    shares = np.array([hour.broken / hour.calls for hour in seen])
    stake = _stake(seen, shares, limit, begun)
    calls = sum(hour.calls for hour in seen)
    share = sum(hour.broken for hour in seen) / calls
    return _reading(
        "contract",
        stake,
        f"{share:.2%} of {calls:,.0f} calls without a valid answer (limit {limit:.2%})",
        {"share": share, "limit": limit},
    )


def _latency(seen: Sequence[Hour], slow_s: float, begun: datetime) -> Reading:
    shares = np.array([day.slow / day.calls for day in seen])
    stake = _stake(seen, shares, SLOW_SHARE, begun)
    share = sum(day.slow for day in seen) / sum(day.calls for day in seen)
    return _reading(
        "latency",
        stake,
        f"{share:.1%} of the calls took more than {slow_s:.3g} s (limit {SLOW_SHARE:.0%})",
        {"share": share, "limit": SLOW_SHARE, "seconds": slow_s},
    )


def _cost(seen: Sequence[Hour], limit: float, begun: datetime) -> Reading:
    means = np.array([hour.cost / hour.calls for hour in seen])
    bounded = np.minimum(means / limit / _MOST_COST, 1.0)
    stake = _stake(seen, bounded, 1 / _MOST_COST, begun)
    mean = sum(hour.cost for hour in seen) / sum(hour.calls for hour in seen)
    return _reading(
        "cost",
        stake,
        f"a call costs {mean:.4g} (limit {limit:.4g}; money, or tokens without prices)",
        {"cost": mean, "limit": limit},
    )


def _stake(seen: Sequence[Hour], values: Array, null: float, begun: datetime) -> float:
    """The highest logarithm that the stakes on a mean above `null` ever had."""
    days = np.array([max(0.0, (hour.start - begun).total_seconds()) / 86_400 for hour in seen])
    ones = np.ones(len(values))
    stakes = restarted_path(days, values, ones, null, "above", halving_bets(), START_DAYS)
    return float(stakes.max())


def _by_day(seen: Sequence[Hour]) -> list[Hour]:
    """Whole days from the first hour on: busy hours are slow, and a limit holds over all."""
    days: list[Hour] = []
    for hour in seen:
        if days and hour.start - days[-1].start < timedelta(days=1):
            last = days.pop()
            hour = Hour(  # noqa: PLW2901 - the day so far takes the hour's place
                start=last.start,
                calls=last.calls + hour.calls,
                broken=last.broken + hour.broken,
                slow=last.slow + hour.slow,
                cost=last.cost + hour.cost,
            )
        days.append(hour)
    if days and seen[-1].start - days[-1].start < timedelta(hours=23):
        days.pop()  # not over yet
    return days


def _reading(
    kind: AlarmKind, stake: float, message: str, figures: dict[str, float | None]
) -> Reading:
    needed = enough(ALPHAS[kind], START_DAYS)
    return Reading(
        kind=kind,
        state="alarm" if stake >= needed else "quiet",
        message=message,
        figures={**figures, "evidence": stake / needed},
    )


def _unknown(kind: AlarmKind, message: str) -> Reading:
    return Reading(kind=kind, state="unknown", message=message)
