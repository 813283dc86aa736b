"""What the plots share: how an arm looks, whiskers, legends and axis numbers.

Best prompt and fine-tune differ by shape (circle, square) as well as by colour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeGuard

from markupsafe import Markup

from trimtab.report.plots import svg
from trimtab.types import Arm, Interval

SHAPES: dict[Arm, Literal["circle", "square"]] = {"prompt": "circle", "fine-tune": "square"}
LEFT = 52.0
"""Room for the ticks of the vertical axis, in px."""
BOTTOM = 46.0
"""Room for ticks and label of the horizontal axis, in px."""


def drawable(measured: Interval | None) -> bool:
    """Whether there is an estimate to draw."""
    return measured is not None and finite(measured.estimate)


def finite(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def whisker_across(scale: svg.Scale, y: float, measured: Interval | None, arm: Arm) -> Markup:
    """A horizontal whisker with its mark; nothing where there is no estimate."""
    if measured is None or not finite(measured.estimate):
        return Markup("")
    low, high = bounds(measured)[0], bounds(measured)[-1]
    return Markup("").join(
        [
            svg.line((scale(low), y), (scale(high), y), f"{arm} whisker"),
            svg.mark((scale(measured.estimate), y), SHAPES[arm], arm),
        ]
    )


def whisker_up(x: float, scale: svg.Scale, measured: Interval, arm: Arm) -> Markup:
    """A vertical whisker without its mark."""
    low, high = bounds(measured)[0], bounds(measured)[-1]
    return svg.line((x, scale(low)), (x, scale(high)), f"{arm} whisker")


def legend(entries: Sequence[tuple[str, str]], width: float) -> tuple[Markup, float]:
    """Marks with their names, flowing over as many lines as the width asks; and its height.

    An entry is (kind, name); the kind is an arm, perhaps with ` hollow`, or `goal`, `band`.
    """
    x, y = 0.0, 12.0
    parts = []
    for kind, name in entries:
        needed = 22 + svg.width_of(name) + 18
        if x > 0 and x + needed > width:
            x, y = 0.0, y + 20
        parts += [_legend_mark(kind, x + 7, y - 4), svg.text((x + 20, y), name, class_="name")]
        x += needed
    return Markup("").join(parts), y


def _legend_mark(kind: str, x: float, y: float) -> Markup:
    if kind == "goal":
        return svg.line((x - 7, y), (x + 7, y), "goal")
    if kind == "band":
        return svg.element("rect", x=x - 7, y=y - 5, width=14, height=10, class_="band")
    return svg.mark((x, y), "circle" if kind.startswith("prompt") else "square", kind)


def bounds(measured: Interval) -> list[float]:
    """Low end, estimate and high end, those that are defined, in order."""
    known = (measured.low, measured.estimate, measured.high)
    return [value for value in known if finite(value)]


def estimate(measured: Interval) -> float:
    """The estimate of a drawable interval."""
    assert measured.estimate is not None
    return measured.estimate


def tick(value: float) -> str:
    """An axis number of a score: one decimal where that is exact, else two."""
    return f"{value:.1f}" if math.isclose(value * 10, round(value * 10)) else f"{value:.2f}"


def compact(value: float) -> str:
    """An axis number: `250`, `10k`, `3M`, `0.04`."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
