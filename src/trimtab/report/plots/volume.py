"""Monthly cost against volume, with the break-even."""

from __future__ import annotations

from markupsafe import Markup

from trimtab.report import values
from trimtab.report.plots import marks, svg
from trimtab.types import Decision


def break_even(decision: Decision, name: str, width: float) -> Markup | None:
    """Monthly cost of both arms against volume, with the break-even and the volume there is."""
    money = decision.money
    if money is None:
        return None
    curve = [point for point in money.curve if point[0] > 0]
    if len(curve) < 2:
        return None
    volume = {"stated": "stated volume", "measured": "served volume"}[money.volume]
    volumes = {volume: money.calls_per_month, "break-even": money.break_even_calls}
    shown = {key: calls for key, calls in volumes.items() if marks.finite(calls) and calls > 0}
    top, bottom = 66.0, 66.0 + 250
    x = svg.logarithmic([c for c, *_ in curve] + list(shown.values()), marks.LEFT + 14, width - 64)
    costs = [cost for _, *pair in curve for cost in pair]
    log = min(costs) > 0
    y = svg.logarithmic(costs, bottom, top) if log else svg.from_zero(costs, bottom, top)
    scale = " (log scale)" if log else ""
    label = f"{money.currency} a month{scale}".strip()
    parts = [
        svg.x_axis(x, bottom, "calls a month (log scale)", marks.compact, top=top),
        svg.text((0, top - 46), label, class_="label"),
        svg.y_axis(y, marks.LEFT + 14, marks.compact, to=x.stop),
        *_volume_marks(x, shown, top, bottom),
        svg.path([(x(calls), y(prompt)) for calls, prompt, _ in curve], "line prompt"),
        svg.path([(x(calls), y(tune)) for calls, _, tune in curve], "line fine-tune"),
        *_line_names(x, y, curve[-1]),
    ]
    told = [f"{key} at {values.count(calls)} calls a month" for key, calls in shown.items()]
    if money.break_even_calls is None:
        told.append("the fine-tune never pays")
    title = "Monthly cost against volume"
    return svg.document(name, title, "; ".join(told), (width, bottom + marks.BOTTOM), *parts)


def _volume_marks(x: svg.Scale, shown: dict[str, float], top: float, bottom: float) -> list[Markup]:
    """Vertical lines; the left one's label stands lower, so that no label meets a line."""
    parts = []
    for level, (label, calls) in enumerate(sorted(shown.items(), key=lambda item: item[1])):
        across = x(calls)
        told = f"{label}: {values.count(calls)}"
        anchor: svg.Anchor = "end" if across - svg.width_of(told) > x.start else "start"
        height = top - 8 - 16 * level
        parts.append(svg.line((across, height + 4), (across, bottom), f"volume {label}"))
        parts.append(svg.text((across, height), told, anchor, "name halo"))
    return parts


def _line_names(x: svg.Scale, y: svg.Scale, last: tuple[float, float, float]) -> list[Markup]:
    """The arm of each line beside its right end, at least a line of text apart."""
    calls, prompt, tune = last
    apart = max(0.0, 15 - abs(y(prompt) - y(tune))) / 2
    lower, upper = 4 + apart, 4 - apart
    at = x(calls) + 6
    return [
        svg.text((at, y(prompt) + (upper if prompt >= tune else lower)), "prompt", class_="name"),
        svg.text((at, y(tune) + (lower if prompt >= tune else upper)), "fine-tune", class_="name"),
    ]
