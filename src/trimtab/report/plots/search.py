"""The prompt search as a curve: best dev quality against what it had used."""

from __future__ import annotations

from itertools import pairwise

from markupsafe import Markup

from trimtab.report import values
from trimtab.report.plots import marks, svg
from trimtab.types import Decision


def plateau_curve(decision: Decision, name: str, width: float) -> Markup | None:
    """Every candidate at the seconds when it ended, the best so far as a line, and where the last
    part of the budget begins."""
    found = decision.search
    trials = [t for t in found.trials if marks.finite(t.quality)] if found else []
    if found is None or not trials:
        return None
    steps = [(t.seconds, t.best) for t in trials if marks.finite(t.best)]
    total = trials[-1].seconds
    if total <= 0 or not steps:
        return None
    entries = [("prompt", "saw all dev rows")]
    if any(t.ended != "finished" for t in trials):
        entries.append(("prompt hollow", "stopped earlier"))
    legend, height = marks.legend(entries, width)
    top, bottom = height + 44, height + 44 + 220
    x = svg.from_zero([total], marks.LEFT, width - 12)
    seen = [t.quality or 0.0 for t in trials] + [best for _, best in steps]
    y = svg.linear(seen, bottom, top, step=0.1)
    parts = [
        legend,
        svg.x_axis(x, bottom, "seconds of the search, as calibrated", values.count, top=top),
        svg.text((0, top - 16), f"{decision.metric} on dev", class_="label"),
        svg.y_axis(y, marks.LEFT, marks.tick, to=x.stop),
    ]
    if found.plateau is not None:
        begins = x(total * (1 - found.plateau.last_share))
        parts.append(svg.line((begins, top), (begins, bottom), "volume stated"))
        told = f"last {values.percent(found.plateau.last_share)}"
        parts.append(svg.text((begins + 6, bottom - 8), told, class_="name halo"))
    parts.append(svg.path(_stairs(x, y, steps, total), "prompt line"))
    for trial in trials:
        kind = "prompt" if trial.ended == "finished" else "prompt hollow"
        parts.append(svg.mark((x(trial.seconds), y(trial.quality or 0.0)), "circle", kind))
    described = found.plateau.statement if found.plateau else ""
    return svg.document(name, "Prompt search", described, (width, bottom + marks.BOTTOM), *parts)


def _stairs(
    x: svg.Scale, y: svg.Scale, steps: list[tuple[float, float]], total: float
) -> list[svg.Point]:
    """A line that rises where the best so far does."""
    points = [(x(steps[0][0]), y(steps[0][1]))]
    for (_, before), (at, best) in pairwise(steps):
        points += [(x(at), y(before)), (x(at), y(best))]
    return [*points, (x(total), y(steps[-1][1]))]
