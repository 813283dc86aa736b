"""What more labelled rows would bring, read off the learning curve of this same task.

The method, its source and its measured coverage: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from trimtab.tune.curve_fit import MAX_REACH, Array, Curve, error_draws
from trimtab.types import CurvePoint, Forecast

FEWEST_SIZES = 3
_TAILS = (0.025, 0.975)
_WIDTH_95 = 2 * 1.959964
"""Width of a 95% interval in standard deviations."""
_SMALLEST_SD = 0.002
"""Keeps weights finite where a point's interval has nearly no width."""
_GRID = 241
_SHOWN = 41
"""Sizes of the fitted curve that are kept for the plot."""


def forecast(
    points: Sequence[CurvePoint],
    goal: float,
    label_cost: float | None = None,
    seed: int = 0,
    *,
    labelled: int | None = None,
) -> Forecast:
    """Rows at which the curve of `points` would reach quality `goal`, with a 95% interval.

    Runs of the learning-rate sweep that were not chosen are left out; seeds of one size are
    averaged. `labelled` is how many training rows exist (by default the largest trained size);
    `Forecast.label_cost` is `label_cost` times the rows still missing. A bound of None lies beyond
    what the curve can say: MAX_REACH times its largest size.
    """
    curve = _curve(points)
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
    qualities = np.clip(1 - error_draws(curve, rows, seed), 0.0, 1.0)
    bands = np.quantile(qualities, (0.5, *_TAILS), axis=0)
    shown = np.linspace(0, len(rows) - 1, _SHOWN).round().astype(int)
    crossings = _crossings(qualities, rows, goal)
    needed, soonest, latest = np.quantile(crossings, (0.5, *_TAILS), method="inverted_cdf")
    return Forecast(
        goal=goal,
        rows_now=have,
        rows_needed=_known(needed),
        rows_low=_known(soonest),
        rows_high=_known(latest),
        label_cost=_missing_cost(needed - have, label_cost),
        statement=_statement(goal, largest, (needed, soonest, latest), bands[:, -1]),
        curve=tuple(
            (int(n), float(middle), float(low), float(high))
            for n, middle, low, high in zip(rows[shown], *bands[:, shown], strict=True)
        ),
    )


def _curve(points: Sequence[CurvePoint]) -> Curve:
    """One point a size. Seeds share the dev rows, so only their own spread shrinks with them."""
    by_size: dict[int, list[CurvePoint]] = defaultdict(list)
    for point in points:
        interval = point.dev_quality
        if not point.sweep and None not in (interval.estimate, interval.low, interval.high):
            by_size[point.rows].append(point)
    rows, errors, sds = [], [], []
    for size, same in sorted(by_size.items()):
        qualities = np.array([p.dev_quality.estimate for p in same], dtype=np.float64)
        widths = [_width(p) for p in same]
        between = qualities.var(ddof=1) / len(same) if len(same) > 1 else 0.0
        sampling = float(np.mean(widths)) / _WIDTH_95
        rows.append(float(size))
        errors.append(1 - qualities.mean())
        sds.append(max(_SMALLEST_SD, math.sqrt(sampling**2 + between)))
    return Curve(np.array(rows), np.array(errors), np.array(sds))


def _width(point: CurvePoint) -> float:
    low, high = point.dev_quality.low, point.dev_quality.high
    assert low is not None and high is not None
    return high - low


def _crossings(qualities: Array, rows: Array, goal: float) -> Array:
    """(B,) size from which each of the (B, N) curves stays at `goal` or above; inf where none."""
    backwards = (qualities >= goal)[:, ::-1]
    stays = np.logical_and.accumulate(backwards, axis=1)[:, ::-1]
    reached: Array = np.where(stays[:, -1], rows[stays.argmax(axis=1)], np.inf)
    return reached


def _known(rows: float) -> int | None:
    return None if math.isinf(rows) else int(rows)


def _missing_cost(missing: float, label_cost: float | None) -> float | None:
    if label_cost is None or math.isinf(missing):
        return None
    return label_cost * max(0.0, missing)


def _statement(goal: float, largest: int, crossing: tuple[float, float, float], end: Array) -> str:
    """A sentence for a person; `crossing` and `end` are (middle, low, high) of rows and quality."""
    needed, soonest, latest = crossing
    limit = f"{MAX_REACH * largest:,}"
    if math.isinf(needed):
        sentence = (
            f"{goal:g} is not in reach: {limit} rows, as far as this curve can say, would give "
            f"{end[0]:.2f} (95%: {end[1]:.2f} to {end[2]:.2f})"
        )
        return sentence if math.isinf(soonest) else f"{sentence}; at best {_about(soonest)} rows"
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
