"""Dot and whisker of both finalists on the test."""

from __future__ import annotations

from markupsafe import Markup

from trimtab.report import values, view
from trimtab.report.plots import marks, svg
from trimtab.types import Decision, Interval, VariantScore


def arms(decision: Decision, name: str, width: float) -> Markup | None:
    """Quality, the other metrics and valid format of both finalists, each with its interval."""
    found = [score for score in (decision.prompt, decision.fine_tune) if score is not None]
    if not found:
        return None
    keys = list(dict.fromkeys(key for score in found for key in score.metrics))
    keys = [decision.metric, *(key for key in keys if key != decision.metric), "valid format"]
    goals = {
        decision.metric: decision.goals.get("quality"),
        "valid format": decision.goals.get("validity"),
    }
    top = 34.0
    left = min(0.36 * width, max(svg.width_of(key) for key in keys) + 16)
    bottom = top + 42 * len(keys)
    x = svg.Scale(0, 1, left, width - 12)
    parts = [marks.legend([*_arm_marks(decision), ("goal", "goal")], width)[0]]
    parts.append(svg.x_axis(x, bottom, "score on the test rows", marks.tick, top=top))
    for row, key in enumerate(keys):
        middle = top + 42 * row + 21
        most = int((left - 8) / svg.CHARACTER)
        short = key if len(key) <= most else key[: most - 1] + "…"
        parts.append(svg.text((0, middle + 4), short, class_="name"))
        goal = goals.get(key)
        if goal is not None:
            parts.append(svg.line((x(goal), middle - 17), (x(goal), middle + 17), "goal"))
        for score in found:
            y = middle + (-8 if score.arm == "prompt" else 8)
            parts.append(
                marks.whisker_across(x, y, _measure(score, key, decision.metric), score.arm)
            )
    described = "; ".join(
        f"{key}: " + ", ".join(_told(s, _measure(s, key, decision.metric)) for s in found)
        for key in keys
    )
    title = "Both arms on the sealed test"
    return svg.document(name, title, described, (width, bottom + marks.BOTTOM), *parts)


def _measure(score: VariantScore, key: str, metric: str) -> Interval | None:
    if key == metric:
        return score.quality
    return score.validity if key == "valid format" else score.metrics.get(key)


def _told(score: VariantScore, measured: Interval | None) -> str:
    return f"{view.ARM_NAMES[score.arm].lower()} {values.interval(measured)}"


def _arm_marks(decision: Decision) -> list[tuple[str, str]]:
    return [
        (score.arm, view.ARM_NAMES[score.arm].lower())
        for score in (decision.prompt, decision.fine_tune)
        if score is not None
    ]
