"""Just enough SVG for a plot: scales, ticks, axes, marks and labels that keep apart.

Every piece of text passes through markupsafe, so that a name in the data can never become markup.
Colours and fonts are CSS classes of the report's style sheet, which follow dark mode.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from trimtab.report.values import visible

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

CHARACTER = 6.4
"""Mean width in px of a character of plot text (12 px sans), to estimate how wide a label is."""


def element(name: str, *children: str | Markup, **attributes: str | float) -> Markup:
    """One element; attribute names take `_` for `-` and lose a trailing one (`class_`)."""
    pairs = (
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _number(value))
        for key, value in attributes.items()
    )
    inside = Markup("").join(children)
    return Markup("<{name}{pairs}>{inside}</{name}>").format(
        name=Markup(name),  # noqa: S704 - element names are literals of this package
        pairs=Markup("").join(pairs),
        inside=inside,
    )


def document(
    name: str, title: str, description: str, size: tuple[float, float], *children: Markup
) -> Markup:
    """The svg element: an image to assistive technology, named by its title and description."""
    width, height = size
    return element(
        "svg",
        element("title", visible(title), id=f"{name}-title"),
        element("desc", visible(description), id=f"{name}-desc"),
        *children,
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
        viewBox=f"0 0 {width:g} {height:g}",
        width=width,
        height=height,
    )


@dataclass(frozen=True)
class Scale:
    """Maps data values `low..high` to pixels `start..stop`, linearly or by logarithm."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.stop - self.start)

    def ticks(self, most: int) -> list[float]:
        """At most `most` round values inside the scale."""
        return (_log_ticks if self.log else _linear_ticks)(self.low, self.high, most)


def linear(values: Iterable[float], start: float, stop: float, *, step: float) -> Scale:
    """A linear scale over `values`, widened to whole steps."""
    found = list(values)
    low = math.floor(min(found) / step + 1e-9) * step
    high = math.ceil(max(found) / step - 1e-9) * step
    return Scale(low, high if high > low else low + step, start, stop)


def from_zero(values: Iterable[float], start: float, stop: float) -> Scale:
    """A linear scale that holds 0, with a little room beyond the extreme values."""
    found = list(values)
    low, high = 1.08 * min(0.0, *found), 1.08 * max(0.0, *found)
    return Scale(low, high if high > low else low + 1, start, stop)


def logarithmic(values: Iterable[float], start: float, stop: float) -> Scale:
    """A logarithmic scale over positive `values`, with a little room on both sides."""
    found = list(values)
    low, high = min(found), max(found)
    room = max((high / low) ** 0.04, 1.1)
    return Scale(low / room, high * room, start, stop, log=True)


def text(at: Point, content: str, anchor: Anchor = "start", class_: str = "") -> Markup:
    return element("text", visible(content), x=at[0], y=at[1], text_anchor=anchor, class_=class_)


def line(a: Point, b: Point, class_: str) -> Markup:
    return element("line", x1=a[0], y1=a[1], x2=b[0], y2=b[1], class_=class_)


def path(points: Sequence[Point], class_: str, *, closed: bool = False) -> Markup:
    steps = " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return element("path", d=f"M{steps}{'Z' if closed else ''}", class_=class_)


def mark(at: Point, shape: Literal["circle", "square"], class_: str) -> Markup:
    """A point of the data. Shape and fill, not colour alone, tell the arms apart."""
    x, y = at
    if shape == "circle":
        return element("circle", cx=x, cy=y, r=4.5, class_=class_)
    return element("rect", x=x - 4.2, y=y - 4.2, width=8.4, height=8.4, class_=class_)


def x_axis(
    scale: Scale, y: float, label: str, form: Callable[[float], str], *, top: float
) -> Markup:
    """Ticks with faint rules up to `top`, and the label centred below."""
    width = scale.stop - scale.start
    ticks = scale.ticks(max(2, int(width // 70)))
    parts = [
        element(
            "g",
            line((scale(tick), top), (scale(tick), y), "rule"),
            text((scale(tick), y + 17), form(tick), "middle", "tick"),
        )
        for tick in ticks
    ]
    parts.append(line((scale.start, y), (scale.stop, y), "axis"))
    parts.append(text(((scale.start + scale.stop) / 2, y + 37), label, "middle", "label"))
    return Markup("").join(parts)


def y_axis(scale: Scale, x: float, form: Callable[[float], str], *, to: float) -> Markup:
    """Ticks with faint rules across to `to`."""
    height = abs(scale.stop - scale.start)
    ticks = scale.ticks(max(2, int(height // 40)))
    return Markup("").join(
        element(
            "g",
            line((x, scale(tick)), (to, scale(tick)), "rule"),
            text((x - 8, scale(tick) + 4), form(tick), "end", "tick"),
        )
        for tick in ticks
    )


def width_of(content: str) -> float:
    """Estimated width of plot text in px."""
    return CHARACTER * len(content)


def clear_of(
    points: Sequence[Point], labels: Sequence[str], box: tuple[float, float, float, float]
) -> list[tuple[Point, Anchor] | None]:
    """Where each point's label covers no mark or other label inside `box`; None where nowhere.

    Tries right, left, above and below of each point in turn. Meant for a plot's few dozen points.
    """
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in points]
    places: list[tuple[Point, Anchor] | None] = []
    for (x, y), label in zip(points, labels, strict=True):
        width = width_of(label)
        tries: tuple[tuple[Point, Anchor, float], ...] = (
            ((x + 8, y + 4), "start", x + 8),
            ((x - 8, y + 4), "end", x - 8 - width),
            ((x, y - 8), "middle", x - width / 2),
            ((x, y + 17), "middle", x - width / 2),
        )
        places.append(None)
        for at, anchor, left in tries:
            area = (left, at[1] - 10, left + width, at[1] + 2)
            if _inside(area, box) and not any(_overlap(area, other) for other in taken):
                taken.append(area)
                places[-1] = (at, anchor)
                break
    return places


def _inside(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] >= b[0] and a[1] >= b[1] and a[2] <= b[2] and a[3] <= b[3]


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _number(value: str | float) -> str:
    return value if isinstance(value, str) else f"{round(value, 1):g}"


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**e for e in exponents for m in multiples]
        inside = [tick for tick in ticks if low <= tick <= high]
        if 1 < len(inside) <= most:
            return inside
    decades = [10.0**e for e in exponents if low <= 10.0**e <= high]
    if len(decades) > 1:
        return decades[:: math.ceil(len(decades) / most)]
    return _linear_ticks(low, high, most)
