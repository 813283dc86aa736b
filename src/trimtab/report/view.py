"""What the report and the console both show: a decision's numbers as labelled rows of text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from trimtab.report import values
from trimtab.task.spec import Budget
from trimtab.types import (
    Arm,
    Case,
    Decision,
    Finding,
    Forecast,
    Money,
    RowsNeeded,
    Spent,
    VariantScore,
    Word,
)

MANY_TEST_USES = 5
"""Openings from which the report warns. Trimtab's convention: how fast a test wears out depends on
how much is changed in answer to it (Blum & Hardt 2015, The Ladder, ICML)."""
ARM_NAMES: dict[Arm, str] = {"prompt": "Best prompt", "fine-tune": "Fine-tune"}
VERDICT_NAMES: dict[Word, str] = {
    "prompt": "Prompt",
    "fine-tune": "Fine-tune",
    "collect-data": "Collect data",
    "inconclusive": "Inconclusive",
}
ADVICE: dict[Word, str] = {
    "prompt": "Use the best prompt; do not fine-tune.",
    "fine-tune": "Use the fine-tuned model.",
    "collect-data": "Collect more labelled examples, then decide again.",
    "inconclusive": "The evidence cannot tell yet.",
}


@dataclass(frozen=True)
class ArmRow:
    """One measured property of both finalists, and its goal where the team set one."""

    label: str
    prompt: str
    fine_tune: str
    goal: str = ""


@dataclass(frozen=True)
class Ranked:
    """A variant's dev score with its place by estimate; `finalist` met the sealed test."""

    rank: int
    score: VariantScore
    finalist: bool


@dataclass(frozen=True)
class Use:
    """What one stage planned and used; None where it was not planned, or did not run."""

    stage: str
    arm: Arm | None
    planned: Spent | None
    spent: Spent | None
    is_total: bool = False


@dataclass(frozen=True)
class Wins:
    """Test rows on which one arm scored higher, widest gap first."""

    arm: Arm
    shown: tuple[Case, ...]
    total: int


def currency(decision: Decision) -> str:
    """The task's currency; empty where neither the money nor the settings name it."""
    if decision.money is not None:
        return decision.money.currency
    named = decision.settings.get("currency")
    return named if isinstance(named, str) else ""


def why_missing(decision: Decision, arm: Arm) -> str:
    """Why an arm has no test score, as far as the decision itself says."""
    if arm == "fine-tune" and decision.no_tuning is not None:
        return decision.no_tuning
    if decision.stopped_by is not None:
        return f"the budget was spent first ({decision.stopped_by})"
    if not any(variant.arm == arm for variant in decision.variants):
        return "no such variant was built"
    return "it did not reach the test"


def arm_rows(decision: Decision) -> list[ArmRow]:
    """Both finalists on the test rows, property by property."""
    unit = currency(decision)
    others = _other_metrics(decision)
    goal = decision.goals.get
    rows = [
        _row(decision, "Variant", lambda s: s.name),
        _row(
            decision,
            f"Quality ({decision.metric})",
            lambda s: values.interval(s.quality),
            _goal("≥", goal("quality"), values.score),
        ),
        *(_metric_row(decision, name) for name in others),
        *_macro_f1_row(decision),
        _row(
            decision,
            "Valid format",
            lambda s: values.interval(s.validity),
            _goal("≥", goal("validity"), values.score),
        ),
        _row(decision, "Same answer when sampled again", lambda s: values.interval(s.agreement)),
        _row(decision, "Prompt tokens", lambda s: values.tokens(s.prompt_tokens)),
        _row(decision, "Tokens in", lambda s: values.tokens(s.tokens_in)),
        _row(decision, "of these, cached", lambda s: values.tokens(s.tokens_cached)),
        _row(decision, "Tokens out", lambda s: values.tokens(s.tokens_out)),
        _row(decision, "Latency, median", lambda s: latency(s, "p50")),
        _row(decision, "Latency, mean", lambda s: latency(s, "mean")),
        _row(
            decision,
            "Latency, 95th percentile",
            lambda s: latency(s, "p95"),
            _goal("≤", goal("p95_latency_seconds"), values.seconds),
        ),
        _row(
            decision,
            "Cost of 1,000 calls",
            lambda s: cost(s, unit),
            _goal("≤", goal("money_per_1000_calls"), lambda m: values.money(m, unit)),
        ),
        _row(decision, "Failed calls", lambda s: f"{s.failures:,} of {s.calls:,}"),
    ]
    return rows


def latency(score: VariantScore, which: Literal["p50", "mean", "p95"]) -> str:
    """Seconds of a call, with their interval where there is one (the median has none)."""
    timed = score.latency
    if timed is None:
        return values.UNMEASURED
    interval = {"p50": None, "mean": timed.mean_interval, "p95": timed.p95_interval}[which]
    estimate = values.seconds({"p50": timed.p50, "mean": timed.mean, "p95": timed.p95}[which])
    return f"{estimate} {values.range_of(interval, values.seconds)}".rstrip()


def cost(score: VariantScore, unit: str) -> str:
    """Money for 1,000 calls, with its interval."""
    return f"{values.money(score.money_per_1000, unit)} {cost_range(score)}".rstrip()


def cost_range(score: VariantScore | None) -> str:
    """The interval of the money for 1,000 calls; empty where there is none."""
    interval = score.money_interval if score is not None else None
    return values.range_of(interval, lambda bound: values.money(bound, ""))


def volume(money: Money) -> str:
    """Where the volume of calls is from, in a word."""
    return {"stated": "stated", "measured": "served"}[money.volume]


def outlook(forecast: Forecast, unit: str) -> list[str]:
    """What the learning curve says besides the rows that reach the goal, a sentence each."""
    said = []
    if forecast.at_reach is not None and forecast.curve:
        limit = values.count(forecast.curve[-1][0])
        said.append(
            f"With {limit} rows, as far as the curve can say, quality would be "
            f"{values.interval(forecast.at_reach)}; the goal is reached by then with a probability "
            f"of {values.percent(forecast.chance)}."
        )
    if forecast.label_cost is not None:
        cost = values.money(forecast.label_cost, unit)
        span = _span(forecast.label_cost_low, forecast.label_cost_high)
        said.append(f"The labels that are missing for the goal cost {cost} {span}.")
    if (rival := forecast.to_beat_prompt) is not None:
        rows = "no number of rows that it can speak of" if rival.rows is None else _rows(rival)
        score, chance = values.score(rival.target), values.percent(rival.chance)
        said.append(
            f"The best prompt's dev score of {score} is passed at {rows}, with a probability of "
            f"{chance}."
        )
    if forecast.loss:
        losses = "; ".join(
            f"{values.count(rows)} rows {loss:.3g} [{low:.3g},{values.SPACE}{high:.3g}]"
            for rows, loss, low, high in forecast.loss
        )
        said.append(f"Dev loss with more rows: {losses}.")
    return said


def _rows(needed: RowsNeeded) -> str:
    low, high = (
        "beyond reach" if bound is None else values.count(bound)
        for bound in (needed.low, needed.high)
    )
    return f"{values.count(needed.rows)} rows [{low},{values.SPACE}{high}]"


def _span(low: float | None, high: float | None) -> str:
    told = ("unknown" if bound is None else values.money(bound, "") for bound in (low, high))
    return f"[{f',{values.SPACE}'.join(told)}]"


def worn_out(decision: Decision) -> str:
    """A warning where the same test rows were opened often; else empty."""
    uses = decision.test_uses
    if uses is None or uses < MANY_TEST_USES:
        return ""
    return (
        f"Runs of this task have opened these same test rows {uses} times. Every look at them "
        "guides what is tried next, so their scores flatter by now: decide the next time on new "
        f"rows. (The warning begins at {MANY_TEST_USES} openings, by convention: no exact number "
        "is known.)"
    )


def ranked(decision: Decision) -> list[Ranked]:
    """All variants on dev, best first; those without an estimate come last."""
    finalists = {s.variant for s in (decision.prompt, decision.fine_tune) if s is not None}
    ordered = sorted(decision.dev_scores, key=_by_quality)
    return [Ranked(i, s, s.variant in finalists) for i, s in enumerate(ordered, start=1)]


def prices_dev(decision: Decision) -> bool:
    """Whether the money of some dev variant is known."""
    return any(score.money_per_1000 is not None for score in decision.dev_scores)


def wins(decision: Decision, arm: Arm, most: int) -> Wins:
    """The rows that `arm` answers better, at most `most` of them."""
    gaps = [(gap, case) for case in decision.cases if (gap := _gap(case, arm)) > 0]
    gaps.sort(key=lambda pair: (-pair[0], pair[1].example))
    return Wins(arm, tuple(case for _, case in gaps[:most]), len(gaps))


def unjudged(decision: Decision) -> int:
    """Saved examples on which one arm has no score, because its call failed."""
    return sum(case.prompt_score is None or case.tune_score is None for case in decision.cases)


def uses(planned: Sequence[Spent], spent: Sequence[Spent]) -> list[Use]:
    """Plan and use side by side, one row for each stage and arm, in order of appearance."""
    plan, used = Spent.by_stage(planned), Spent.by_stage(spent)
    return [
        Use(stage, arm, plan.get((stage, arm)), used.get((stage, arm)))
        for stage, arm in dict.fromkeys((*plan, *used))
    ]


def with_totals(rows: Sequence[Use]) -> list[Use]:
    """`rows`, then the sum of each arm's stages, then of all."""
    groups: tuple[tuple[str, Arm | None], ...] = (
        ("Prompt arm", "prompt"),
        ("Fine-tune arm", "fine-tune"),
        ("Total", None),
    )
    totals = []
    for name, arm in groups:
        members = [row for row in rows if arm is None or row.arm == arm]
        planned = [row.planned for row in members if row.planned is not None]
        spent = [row.spent for row in members if row.spent is not None]
        if members:
            totals.append(
                Use(
                    name,
                    arm,
                    sum(planned, Spent(stage=name, arm=arm)) if planned else None,
                    sum(spent, Spent(stage=name, arm=arm)) if spent else None,
                    is_total=True,
                )
            )
    return [*rows, *totals]


def budget(decision: Decision) -> Budget | None:
    """The hard limits of the run; None where the settings do not hold them."""
    limits = decision.settings.get("budget")
    return Budget.model_validate(limits) if isinstance(limits, dict) else None


def findings(decision: Decision) -> list[Finding]:
    """Audit findings, the gravest first."""
    order = {"stop": 0, "warn": 1, "info": 2}
    return sorted(decision.audit, key=lambda finding: order[finding.severity])


def boundaries(decision: Decision) -> list[str]:
    """Every boundary at which a finalist's call failed."""
    arms = [arm for arm in (decision.prompt, decision.fine_tune) if arm is not None]
    return sorted({boundary for arm in arms for boundary in arm.failure_boundaries})


def interval_note(decision: Decision) -> str:
    """How the intervals of the finalists' figures were made; empty where there are none."""
    methods: dict[str, None] = {}
    for arm in (decision.prompt, decision.fine_tune):
        if arm is not None:
            timed = (arm.latency.p95_interval, arm.latency.mean_interval) if arm.latency else ()
            for it in (arm.quality, *arm.metrics.values(), arm.validity, *timed):
                if it is not None:
                    methods[f"{100 * it.level:.0f}{values.SPACE}% {it.method}"] = None
    return "; ".join(methods)


def _row(
    decision: Decision, label: str, tell: Callable[[VariantScore], str], goal: str = ""
) -> ArmRow:
    def cell(score: VariantScore | None) -> str:
        return values.UNMEASURED if score is None else tell(score)

    return ArmRow(label, cell(decision.prompt), cell(decision.fine_tune), goal)


def _metric_row(decision: Decision, name: str) -> ArmRow:
    return _row(decision, name, lambda s: values.interval(s.metrics.get(name)))


def _macro_f1_row(decision: Decision) -> list[ArmRow]:
    def told(score: VariantScore) -> str:
        return values.interval(score.label_table.macro_f1 if score.label_table else None)

    arms = (decision.prompt, decision.fine_tune)
    if not any(arm is not None and arm.label_table is not None for arm in arms):
        return []
    return [_row(decision, "Macro-F1 over labels", told)]


def _other_metrics(decision: Decision) -> list[str]:
    arms = [arm for arm in (decision.prompt, decision.fine_tune) if arm is not None]
    names = dict.fromkeys(name for arm in arms for name in arm.metrics)
    return [name for name in names if name != decision.metric]


def _goal(relation: str, value: float | None, form: Callable[[float | None], str]) -> str:
    return "" if value is None else f"{relation}{values.SPACE}{form(value)}"


def _by_quality(score: VariantScore) -> tuple[bool, float, str]:
    estimate = score.quality.estimate
    return (estimate is None, 0.0 if estimate is None else -estimate, score.name)


def _gap(case: Case, arm: Arm) -> float:
    if case.prompt_score is None or case.tune_score is None:
        return 0.0
    gap = case.tune_score - case.prompt_score
    return gap if arm == "fine-tune" else -gap
