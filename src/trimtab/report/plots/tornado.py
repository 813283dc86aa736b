"""What the probability of paying hangs on: each input of the money at its ends."""

from __future__ import annotations

from markupsafe import Markup

from trimtab.decide.thresholds import THRESHOLDS
from trimtab.report import gains, values
from trimtab.report.plots import marks, svg
from trimtab.types import Decision, Swing

_ROW = 44.0
_MOST = 9
"""Inputs drawn; the table beside the plot has all."""


def tornado(decision: Decision, name: str, width: float) -> Markup | None:
    """A bar for each input, from the probability at its 5% end (hollow) to that at its 95% end."""
    money = decision.money
    if money is None or not money.tornado:
        return None
    swings = money.tornado[:_MOST]
    asked = THRESHOLDS.probability_of_paying
    entries = [
        ("fine-tune hollow", "input at its 5% end"),
        ("fine-tune", "at its 95% end"),
        ("goal", f"{asked:.0%} is asked"),
    ]
    legend, height = marks.legend(entries, width)
    top = height + 18
    bottom = top + _ROW * len(swings)
    x = svg.Scale(0, 1, 12, width - 18)
    parts = [
        legend,
        svg.x_axis(x, bottom, "probability that the fine-tune pays", _percent, top=top),
        svg.line((x(asked), top), (x(asked), bottom), "goal"),
        svg.line((x(money.p_pays), top), (x(money.p_pays), bottom), "volume stated"),
    ]
    for row, swing in enumerate(swings):
        y = top + _ROW * row + 30
        low, high = (x(swing.p_low), y), (x(swing.p_high), y)
        parts += [
            svg.text((0, y - 13), _told(swing, money.currency), class_="name halo"),
            svg.line(low, high, "fine-tune range"),
            svg.mark(high, "square", "fine-tune"),
            svg.mark(low, "square", "fine-tune hollow"),
        ]
    described = f"now {values.percent(money.p_pays)}; " + "; ".join(
        f"{swing.name}: {values.percent(swing.p_low)} to {values.percent(swing.p_high)}"
        for swing in swings
    )
    size = (width, bottom + marks.BOTTOM)
    return svg.document(name, "What the payback hangs on", described, size, *parts)


def _told(swing: Swing, currency: str) -> str:
    return f"{swing.name}: {gains.ends(swing, currency)}"


def _percent(value: float) -> str:
    return f"{value:.0%}"
