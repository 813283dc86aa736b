"""Quality against what a call costs, in money or in tokens."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from trimtab.report import values, view
from trimtab.report.plots import marks, svg
from trimtab.types import Arm, Decision, Interval, VariantScore


@dataclass(frozen=True)
class Dot:
    """One variant. `filled`: it is a finalist; `label` is its rank on dev."""

    x: float
    quality: Interval
    arm: Arm
    name: str
    label: str
    filled: bool


@dataclass(frozen=True)
class Scatter:
    """What is drawn, and what its axes say."""

    title: str
    across: str
    up: str
    dots: tuple[Dot, ...]


def quality_by_cost(decision: Decision, name: str, width: float) -> Markup | None:
    """Quality against the money of 1,000 calls: finalists on test, other variants on dev."""
    finalists = [s for s in (decision.prompt, decision.fine_tune) if s is not None]
    dots = [_dot(score, score.money_per_1000, "", True) for score in finalists]
    dots += [
        _dot(entry.score, entry.score.money_per_1000, str(entry.rank), False)
        for entry in view.ranked(decision)
        if not entry.finalist
    ]
    scatter = Scatter(
        title="Quality against cost",
        across=f"{view.currency(decision)} for 1,000 calls".strip(),
        up=decision.metric,
        dots=tuple(dot for dot in dots if dot is not None),
    )
    return _draw(scatter, name, width)


def quality_by_tokens(decision: Decision, name: str, width: float) -> Markup | None:
    """Dev quality against tokens per call, where the money of some dev variant is not known."""
    scores = view.ranked(decision)
    if all(entry.score.money_per_1000 is not None for entry in scores):
        return None
    dots = [_dot(e.score, _tokens(e.score), str(e.rank), e.finalist) for e in scores]
    scatter = Scatter(
        title="Quality on dev against tokens",
        across="tokens per call, in and out",
        up=f"{decision.metric} on dev",
        dots=tuple(dot for dot in dots if dot is not None),
    )
    return _draw(scatter, name, width)


def _dot(score: VariantScore, x: float | None, label: str, filled: bool) -> Dot | None:
    if not (marks.finite(x) and marks.drawable(score.quality)):
        return None
    return Dot(x, score.quality, score.arm, score.name, label, filled)


def _tokens(score: VariantScore) -> float | None:
    if score.tokens_in is None or score.tokens_out is None:
        return None
    return score.tokens_in + score.tokens_out


def _draw(scatter: Scatter, name: str, width: float) -> Markup | None:
    dots = scatter.dots
    if not dots:
        return None
    legend, height = marks.legend(_legend(dots), width)
    top, bottom = height + 44, height + 44 + 250
    costs = [dot.x for dot in dots]
    log = min(costs) > 0 and max(costs) / min(costs) > 20
    across = scatter.across + (" (log scale)" if log else "")
    x = (svg.logarithmic if log else svg.from_zero)(costs, marks.LEFT, width - 12)
    y = svg.linear([q for d in dots for q in marks.bounds(d.quality)], bottom, top, step=0.1)
    at = [(x(dot.x), y(marks.estimate(dot.quality))) for dot in dots]
    parts = [
        legend,
        svg.text((0, top - 16), scatter.up, class_="label"),
        svg.x_axis(x, bottom, across, marks.compact, top=top),
        svg.y_axis(y, marks.LEFT, marks.tick, to=x.stop),
        *(marks.whisker_up(x(d.x), y, d.quality, d.arm) for d in dots if d.filled),
    ]
    for point, dot in zip(at, dots, strict=True):
        class_ = dot.arm if dot.filled else f"{dot.arm} hollow"
        parts.append(svg.mark(point, marks.SHAPES[dot.arm], class_))
    places = svg.clear_of(at, [d.label for d in dots], (marks.LEFT, top, width, bottom))
    for place, dot in zip(places, dots, strict=True):
        if dot.label and place is not None:
            parts.append(svg.text(place[0], dot.label, place[1], "tick halo"))
    described = "; ".join(
        f"{dot.name}: {values.interval(dot.quality)} at {marks.compact(dot.x)}" for dot in dots
    )
    size = (width, bottom + marks.BOTTOM)
    return svg.document(name, scatter.title, described, size, *parts)


def _legend(dots: tuple[Dot, ...]) -> list[tuple[str, str]]:
    kinds = dict.fromkeys((dot.arm, dot.filled) for dot in dots)
    return [
        (
            arm if filled else f"{arm} hollow",
            view.ARM_NAMES[arm].lower() if filled else f"other {arm} variant, dev",
        )
        for arm, filled in kinds
    ]
