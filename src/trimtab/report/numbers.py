"""The few numbers that carry the verdict, each with its interval or its condition."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.report import values, view
from trimtab.types import Arm, Comparison, Decision, Forecast, Money, VariantScore


@dataclass(frozen=True)
class Line:
    """One figure and the words that belong to it."""

    value: str
    note: str = ""


@dataclass(frozen=True)
class KeyNumber:
    label: str
    lines: tuple[Line, ...]


def key_numbers(decision: Decision) -> list[KeyNumber]:
    """Test quality of both arms, their difference, cost, latency, break-even and labels needed."""
    found = [
        _quality(decision, "prompt"),
        _quality(decision, "fine-tune"),
        KeyNumber("Fine-tune minus best prompt", (_difference(decision.comparison),)),
        KeyNumber("Cost of 1,000 calls", _costs(decision)),
        KeyNumber("Latency, median / p95", _latencies(decision)),
        KeyNumber("Break-even volume", _break_even(decision.money)),
    ]
    if decision.forecast is not None and decision.forecast.rows_needed is not None:
        found.append(_rows_needed(decision.forecast))
    return found


def _quality(decision: Decision, arm: Arm) -> KeyNumber:
    label = f"{view.ARM_NAMES[arm]}: {decision.metric}"
    score = _score(decision, arm)
    if score is None:
        return KeyNumber(label, (Line(values.UNMEASURED, view.why_missing(decision, arm)),))
    quality = score.quality
    estimate = Line(values.score(quality.estimate), values.bounds(quality))
    return KeyNumber(label, (estimate, Line("", score.name)))


def _difference(comparison: Comparison | None) -> Line:
    if comparison is None:
        return Line(values.UNMEASURED, "needs both arms on the test rows")
    bounds = values.bounds(comparison.difference, signed=True)
    note = f"{bounds}; {values.p_value(comparison.p_value)}"
    if comparison.rows_alone is not None:
        alone = values.bounds(comparison.rows_alone, signed=True)
        added = "the rest" if alone != bounds else "nothing more"
        note += f"; rows alone {alone}, {added} comes of {' and '.join(comparison.widened_by)}"
    return Line(values.difference(comparison.difference.estimate), note)


def _costs(decision: Decision) -> tuple[Line, ...]:
    unit = view.currency(decision)
    return tuple(
        Line(values.money(score.money_per_1000, unit), _with_arm(view.cost_range(score), score))
        for score in _scores(decision)
    ) or (Line(values.UNMEASURED),)


def _latencies(decision: Decision) -> tuple[Line, ...]:
    lines = []
    for score in _scores(decision):
        timed = score.latency
        told, bounds = values.UNMEASURED, ""
        if timed is not None:
            told = f"{values.seconds(timed.p50)} / {values.seconds(timed.p95)}"
            bounds = values.range_of(timed.p95_interval, values.seconds)
        lines.append(Line(told, _with_arm(bounds, score)))
    return tuple(lines) or (Line(values.UNMEASURED),)


def _with_arm(bounds: str, score: VariantScore) -> str:
    return f"{bounds} {score.arm}".strip()


def _break_even(money: Money | None) -> tuple[Line, ...]:
    if money is None:
        return (Line("unknown", "needs the cost of both arms and the volume"),)
    pays = f"{values.percent(money.p_pays)} likely to pay at the {view.volume(money)}"
    stated = Line("", f"{pays} {values.count(money.calls_per_month)} calls a month")
    if money.break_even_calls is None:
        return (Line(values.NEVER, "at these costs"), stated)
    return (Line(values.count(money.break_even_calls), "calls a month"), stated)


def _rows_needed(forecast: Forecast) -> KeyNumber:
    high = (
        f"beyond {values.count(max((rows for rows, *_ in forecast.curve), default=None))}"
        if forecast.rows_high is None and forecast.curve
        else values.count(forecast.rows_high)
    )
    low = values.count(forecast.rows_low)
    note = f"[{low},{values.SPACE}{high}]; {values.count(forecast.rows_now)} now"
    label = f"Training rows to reach {values.score(forecast.goal)}"
    return KeyNumber(label, (Line(values.count(forecast.rows_needed), note),))


def _score(decision: Decision, arm: Arm) -> VariantScore | None:
    return decision.prompt if arm == "prompt" else decision.fine_tune


def _scores(decision: Decision) -> list[VariantScore]:
    return [score for score in (decision.prompt, decision.fine_tune) if score is not None]
