"""The learning curve with its forecast."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from trimtab.report import values, view
from trimtab.report.plots import marks, svg
from trimtab.types import CurvePoint, Decision, Forecast


def learning_curve(decision: Decision, name: str, width: float) -> Markup | None:
    """Dev quality against training rows, with the forecast band, the goal and the best prompt."""
    points = [p for p in decision.curve if p.rows > 0 and marks.drawable(p.dev_quality)]
    if not points:
        return None
    forecast = decision.forecast
    curve = forecast.curve if forecast is not None else ()
    references = _references(decision)
    legend, height = marks.legend(_curve_legend(points, forecast), width)
    top, bottom = height + 44, height + 44 + 260
    rows = [p.rows for p in points] + [row for row, *_ in curve]
    if forecast is not None and forecast.rows_needed is not None:
        rows.append(forecast.rows_needed)
    seen = [q for p in points for q in marks.bounds(p.dev_quality)] + list(references.values())
    seen += [min(max(q, 0.0), 1.0) for _, *band in curve for q in band]
    x = svg.logarithmic(rows, marks.LEFT, width - 12)
    y = svg.linear(seen, bottom, top, step=0.1)
    parts = [
        legend,
        svg.x_axis(x, bottom, "labelled training rows (log scale)", values.count, top=top),
        svg.text((0, top - 16), f"{decision.metric} on dev", class_="label"),
        svg.y_axis(y, marks.LEFT, marks.tick, to=x.stop),
        *_forecast_band(x, y, curve, max(p.rows for p in points)),
        *_reference_lines(x, y, references),
        *_needed(x, y, forecast),
        *_curve_marks(x, y, points),
    ]
    described = "; ".join(
        f"{p.rows:,} rows: {values.interval(p.dev_quality)}" for p in points if not p.sweep
    )
    if forecast is not None:
        described += f". {forecast.statement}"
    return svg.document(name, "Learning curve", described, (width, bottom + marks.BOTTOM), *parts)


def _forecast_band(
    x: svg.Scale, y: svg.Scale, curve: Sequence[tuple[int, float, float, float]], measured: int
) -> list[Markup]:
    if len(curve) < 2:
        return []

    def at(rows: int, quality: float) -> svg.Point:
        return (x(rows), y(min(max(quality, 0.0), 1.0)))

    upper = [at(rows, high) for rows, _, _, high in curve]
    lower = [at(rows, low) for rows, _, low, _ in curve]
    parts = [svg.path([*upper, *reversed(lower)], "band", closed=True)]
    inside = [at(rows, quality) for rows, quality, *_ in curve if rows <= measured]
    beyond = [at(rows, quality) for rows, quality, *_ in curve if rows > measured]
    if len(inside) > 1:
        parts.append(svg.path(inside, "fit"))
    if beyond:
        parts.append(svg.path([*inside[-1:], *beyond], "fit beyond"))
    return parts


def _reference_lines(x: svg.Scale, y: svg.Scale, references: dict[str, float]) -> list[Markup]:
    """Level lines; the goal is named at the left end and the prompt at the right, to keep apart."""
    parts = []
    for label, value in references.items():
        is_goal = label == "goal"
        class_ = "goal" if is_goal else "prompt reference"
        at = (x.start + 4 if is_goal else x.stop, y(value) - 6)
        told = f"{label} {values.score(value)}"
        parts.append(svg.line((x.start, y(value)), (x.stop, y(value)), class_))
        parts.append(svg.text(at, told, "start" if is_goal else "end", "name halo"))
    return parts


def _references(decision: Decision) -> dict[str, float]:
    references: dict[str, float] = {}
    goal = decision.forecast.goal if decision.forecast else decision.goals.get("quality")
    if goal is not None:
        references["goal"] = goal
    prompts = [
        r.score.quality.estimate
        for r in view.ranked(decision)
        if r.score.arm == "prompt" and r.score.quality.estimate is not None
    ]
    if prompts:
        references["best prompt on dev"] = prompts[0]
    return references


def _needed(x: svg.Scale, y: svg.Scale, forecast: Forecast | None) -> list[Markup]:
    """The rows that would reach the goal: a ring on the goal line, with its interval."""
    if forecast is None or forecast.rows_needed is None:
        return []
    level = y(forecast.goal)
    ring = svg.element("circle", cx=x(forecast.rows_needed), cy=level, r=6, class_="ring")
    low = forecast.rows_low or forecast.rows_needed
    high = forecast.rows_high
    end = x.stop if high is None else min(x(high), x.stop)
    return [svg.line((max(x(low), x.start), level), (end, level), "fine-tune range"), ring]


def _curve_marks(x: svg.Scale, y: svg.Scale, points: Sequence[CurvePoint]) -> list[Markup]:
    """Chosen sizes with whiskers, seeds of one size side by side; sweep runs hollow behind."""
    parts = [
        svg.mark((x(p.rows), y(marks.estimate(p.dev_quality))), "square", "fine-tune hollow")
        for p in points
        if p.sweep
    ]
    seen: dict[int, int] = {}
    for point in (p for p in points if not p.sweep):
        place = seen[point.rows] = seen.get(point.rows, -1) + 1
        across = x(point.rows) + 7 * ((place + 1) // 2) * (-1) ** place
        parts.append(marks.whisker_up(across, y, point.dev_quality, "fine-tune"))
        parts.append(
            svg.mark((across, y(marks.estimate(point.dev_quality))), "square", "fine-tune")
        )
    return parts


def _curve_legend(points: Sequence[CurvePoint], forecast: Forecast | None) -> list[tuple[str, str]]:
    entries = [("fine-tune", "fine-tune, 95 % interval")]
    if any(point.sweep for point in points):
        entries.append(("fine-tune hollow", "learning-rate sweep"))
    if forecast is not None and forecast.curve:
        entries.append(("band", "forecast"))
    return entries
