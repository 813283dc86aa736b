"""What more labelled rows would bring, read off the learning curve of this same task.

The method, its source and its measured coverage: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.tune.curve_fit import DRAWS, FEWEST_SIZES, MAX_REACH, Array, Curve, error_draws
from trimtab.types import CurvePoint, Forecast, Interval, RowsNeeded

_TAILS = (0.025, 0.975)
_WIDTH_95 = 2 * 1.959964
"""Width of a 95% interval in standard deviations."""
_SMALLEST_SD = 0.002
"""Keeps weights finite where a point's interval has nearly no width."""
_GRID = 241
_SHOWN = 41
"""Sizes of the fitted curve that are kept for the plot."""
_METHOD = "average of three laws, scaled by the curve's own rolling forecasts"

Labels = Callable[[int, int], int]
"""Of the training rows that exist and those wanted: how many rows to label."""

Crossing = tuple[float, float, float]
"""Middle, low and high of the rows from which on a target is kept; inf beyond the reach."""


@dataclass(frozen=True)
class _Prices:
    """What the labels that are missing cost."""

    have: int
    labels: Labels
    each: float | None

    def of(self, rows: float) -> float | None:
        """Until `rows` train; None where that is beyond the reach, or labels have no price."""
        if self.each is None or math.isinf(rows):
            return None
        return self.each * self.labels(self.have, int(rows))


def forecast(
    points: Sequence[CurvePoint],
    goal: float,
    label_cost: float | None = None,
    seed: int = 0,
    *,
    labelled: int | None = None,
    prompt: Interval | None = None,
    labels: Labels = lambda have, rows: max(0, rows - have),
) -> Forecast:
    """Rows at which the curve of `points` would reach quality `goal`, and that of `prompt`, the
    best prompt's on the same dev rows; all with 95% intervals.

    Runs of the learning-rate sweep that were not chosen are left out; seeds of one size are
    averaged. `labelled` is how many training rows exist (by default the largest trained size);
    label costs are `label_cost` times the `labels` still missing. A bound of None lies beyond what
    the curve can say: MAX_REACH times its largest size.
    """
    of_size = _by_size(points)
    curve = _quality_curve(of_size)
    sizes = len(curve.rows)
    largest = int(curve.rows[-1]) if sizes else 0
    have = largest if labelled is None else labelled
    if sizes < FEWEST_SIZES:
        statement = (
            f"what more rows would bring cannot be told: the learning curve has {sizes} measured "
            f"sizes and needs {FEWEST_SIZES}"
        )
        return Forecast(
            goal=goal,
            rows_now=have,
            rows_needed=None,
            rows_low=None,
            rows_high=None,
            label_cost=None,
            statement=statement,
        )
    rows = np.unique(np.geomspace(curve.rows[0], MAX_REACH * largest, _GRID).round())
    drawn = 1 - error_draws(curve, rows, seed)
    qualities = np.clip(drawn + _luck_of_dev(of_size, seed), 0.0, 1.0)
    bands = np.quantile(qualities, (0.5, *_TAILS), axis=0)
    shown = np.linspace(0, len(rows) - 1, _SHOWN).round().astype(int)
    crossings = _crossings(qualities, rows, np.full(DRAWS, goal))
    crossing = _summary(crossings)
    prices = _Prices(have, labels, label_cost)
    costs = [prices.of(each) for each in crossing]
    end = Interval(
        estimate=float(bands[0, -1]),
        low=float(bands[1, -1]),
        high=float(bands[2, -1]),
        n=sizes,
        method=_METHOD,
    )
    return Forecast(
        goal=goal,
        rows_now=have,
        rows_needed=_known(crossing[0]),
        rows_low=_known(crossing[1]),
        rows_high=_known(crossing[2]),
        label_cost=costs[0],
        label_cost_low=costs[1],
        label_cost_high=costs[2],
        chance=float(np.isfinite(crossings).mean()),
        at_reach=end,
        to_beat_prompt=_beating(prompt, np.clip(drawn, 0.0, 1.0), rows, prices, seed),
        statement=_statement(goal, largest, crossing, bands[:, -1]),
        curve=tuple(
            (int(n), float(middle), float(low), float(high))
            for n, middle, low, high in zip(rows[shown], *bands[:, shown], strict=True)
        ),
        loss=_loss_ahead(of_size, seed),
    )


def _by_size(points: Sequence[CurvePoint]) -> dict[int, list[CurvePoint]]:
    """The points that count, by size in ascending order."""
    by_size: dict[int, list[CurvePoint]] = defaultdict(list)
    for point in points:
        interval = point.dev_quality
        if not point.sweep and None not in (interval.estimate, interval.low, interval.high):
            by_size[point.rows].append(point)
    return dict(sorted(by_size.items()))


def _quality_curve(of_size: Mapping[int, Sequence[CurvePoint]]) -> Curve:
    """One point a size. Seeds share the dev rows, so only their own spread shrinks with them."""
    errors, sds = [], []
    for same in of_size.values():
        qualities = np.array([p.dev_quality.estimate for p in same], dtype=np.float64)
        sampling = float(np.mean([_sd(p.dev_quality) for p in same]))
        errors.append(1 - qualities.mean())
        sds.append(max(_SMALLEST_SD, math.hypot(sampling, _error_of_mean(qualities))))
    return Curve(np.array([*of_size], dtype=np.float64), np.array(errors), np.array(sds))


def _luck_of_dev(of_size: Mapping[int, Sequence[CurvePoint]], seed: int) -> Array:
    """(DRAWS, 1) by how much the dev rows may flatter a curve as a whole: all sizes share them, so
    that more sizes do not average it out."""
    largest = [*of_size.values()][-1]
    sampling = float(np.mean([_sd(point.dev_quality) for point in largest]))
    return np.random.default_rng([seed, 1]).normal(0.0, sampling, (DRAWS, 1))


def _loss_ahead(
    of_size: Mapping[int, Sequence[CurvePoint]], seed: int
) -> tuple[tuple[int, float, float, float], ...]:
    """Dev loss at 2, 4 and 8 times the largest size. Which rows are in dev moves the losses of all
    sizes alike, so that only the spread of seeds counts as noise."""
    told = [[p.dev_loss for p in same if p.dev_loss is not None] for same in of_size.values()]
    if not all(told):
        return ()  # an endpoint that trains need not tell it
    losses = [np.array(same) for same in told]
    curve = Curve(
        np.array([*of_size], dtype=np.float64),
        np.array([same.mean() for same in losses]),
        np.array([_error_of_mean(same) for same in losses]),
    )
    if not curve.errors.all():
        return ()  # a loss of 0 has no logarithm
    at = curve.rows[-1] * 2.0 ** np.arange(1, math.log2(MAX_REACH) + 1)
    bands = np.quantile(error_draws(curve, at, seed), (0.5, *_TAILS), axis=0)
    return tuple(
        (int(n), float(middle), float(low), float(high))
        for n, middle, low, high in zip(at, *bands, strict=True)
    )


def _beating(
    prompt: Interval | None,
    qualities: Array,
    rows: Array,
    prices: _Prices,
    seed: int,
) -> RowsNeeded | None:
    """When the curve passes the best prompt, whose own quality is as sure as its interval says.

    Both are measured on the same dev rows, whose luck moves them alike and is left out here."""
    if prompt is None or None in (prompt.estimate, prompt.low, prompt.high):
        return None
    assert prompt.estimate is not None
    rival = np.random.default_rng(seed).normal(prompt.estimate, _sd(prompt), DRAWS)
    crossings = _crossings(qualities, rows, rival)
    crossing = _summary(crossings)
    costs = [prices.of(each) for each in crossing]
    return RowsNeeded(
        target=prompt.estimate,
        rows=_known(crossing[0]),
        low=_known(crossing[1]),
        high=_known(crossing[2]),
        chance=float(np.isfinite(crossings).mean()),
        label_cost=costs[0],
        label_cost_low=costs[1],
        label_cost_high=costs[2],
    )


def _sd(interval: Interval) -> float:
    assert interval.low is not None and interval.high is not None
    return (interval.high - interval.low) / _WIDTH_95


def _error_of_mean(values: Array) -> float:
    return math.sqrt(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.0


def _crossings(qualities: Array, rows: Array, target: Array) -> Array:
    """(B,) size from which each of the (B, N) curves keeps its target; inf where none does."""
    backwards = (qualities >= target[:, None])[:, ::-1]
    stays = np.logical_and.accumulate(backwards, axis=1)[:, ::-1]
    reached: Array = np.where(stays[:, -1], rows[stays.argmax(axis=1)], np.inf)
    return reached


def _summary(crossings: Array) -> Crossing:
    middle, low, high = np.quantile(crossings, (0.5, *_TAILS), method="inverted_cdf")
    return float(middle), float(low), float(high)


def _known(rows: float) -> int | None:
    return None if math.isinf(rows) else int(rows)


def _statement(goal: float, largest: int, crossing: Crossing, end: Array) -> str:
    """A sentence for a person; `end` is (middle, low, high) of the quality at the reach."""
    needed, soonest, latest = crossing
    limit = f"{MAX_REACH * largest:,}"
    if math.isinf(needed):
        sentence = (
            f"{goal:g} is not expected within {limit} rows, as far as this curve can say: they "
            f"would give {end[0]:.3f} (95%: {end[1]:.3f} to {end[2]:.3f})"
        )
        if math.isinf(soonest):
            return f"{sentence}; for this goal, stop collecting"
        return f"{sentence}; at the best end of that, about {_about(soonest)} rows would do"
    if needed <= largest:
        return (
            f"the fitted curve reaches {goal:g} at about {_about(needed)} rows, within the "
            f"{largest:,} that were measured"
        )
    until = (
        f"beyond {limit}, which is as far as this curve can say"
        if math.isinf(latest)
        else _about(latest)
    )
    return f"about {_about(needed)} rows (95%: {_about(soonest)} to {until}) would reach {goal:g}"


def _about(rows: float) -> str:
    """Two leading digits, since the interval is far wider."""
    step = 10 ** max(0, math.floor(math.log10(rows)) - 1)
    return f"{round(rows / step) * step:,}"
