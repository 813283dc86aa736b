"""The volume at which a fine-tune pays, and how likely it does. Formula: docs/statistics.md."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from trimtab.decide.cost import amount, cost_per_call, training_cost
from trimtab.decide.payback import (
    DRAWS,
    PRICE_ERROR,
    RETRAINING_ERROR,
    Doubt,
    Terms,
    saving_draws,
    tornado,
)
from trimtab.store.watching import Traffic
from trimtab.task.spec import ModelSpec, Task
from trimtab.types import Comparison, CurvePoint, Interval, Money, Spent, VariantScore

_WIDTH_95 = 2 * 1.959964
_CURVE_POINTS = 25


@dataclass(frozen=True)
class Effort:
    """What the fine-tune took: the training runs that made it, one retraining, and labels."""

    seconds: float
    tokens: int
    retrain_seconds: float
    retrain_tokens: int
    labels_used: int
    labels_to_buy: int = 0

    @classmethod
    def of(cls, sweep: Sequence[CurvePoint], curve: Sequence[CurvePoint]) -> Effort:
        """What the learning-rate sweep and then every size of the curve took.

        A retraining knows the learning rate, but walks through all sizes again.
        """
        kept = {(point.rows, point.learning_rate) for point in curve}
        # The sweep's winner is the curve's first point; its cost counts once.
        lost = [p for p in sweep if (p.rows, p.learning_rate) not in kept]
        return cls(
            seconds=sum(point.seconds for point in [*lost, *curve]),
            tokens=sum(point.train_tokens for point in [*lost, *curve]),
            retrain_seconds=sum(point.seconds for point in curve),
            retrain_tokens=sum(point.train_tokens for point in curve),
            labels_used=max(point.rows for point in curve),
        )

    def mended(self, remedies: Spent, *, in_use: bool) -> Effort:
        """With what the search for a remedy took, which each retraining repeats where one is in
        use."""
        again = in_use * remedies.seconds, in_use * remedies.train_tokens
        return replace(
            self,
            seconds=self.seconds + remedies.seconds,
            tokens=self.tokens + remedies.train_tokens,
            retrain_seconds=self.retrain_seconds + again[0],
            retrain_tokens=self.retrain_tokens + again[1],
        )


@dataclass(frozen=True)
class MoneyAnswer:
    """The money, or what must be known first to work it out (then `money` is None)."""

    money: Money | None
    missing: tuple[str, ...] = ()


def money(
    task: Task,
    prompt: VariantScore,
    tune: VariantScore,
    comparison: Comparison | None,
    effort: Effort,
    served: Traffic | None = None,
) -> MoneyAnswer:
    """Break-even volume, saving and probability that the fine-tune pays at the task's volume: the
    one `served` where Trimtab saw it, else the one that the task file says.

    Break-even calls a month: (F/H + R/tau + hosting + upkeep) / (c_prompt - c_tune + v dq), never
    where the denominator is not positive. The Monte-Carlo (seeded by the task) draws dq from its
    interval, the volume from a lognormal of the stated spread, prices within PRICE_ERROR, and how
    often a retraining is needed and what it takes within RETRAINING_ERROR.
    Raises ValueError for a task without a model to tune.
    """
    spec = task.models.tune
    if spec is None:
        raise ValueError("the task names no model to tune")
    volume = served.calls_per_month if served is not None else task.traffic.calls_per_month
    knowns = (
        ("volume: set traffic.calls_per_month", volume),
        *_knowns(task, prompt, tune, comparison, effort),
    )
    missing = dict.fromkeys(hint for hint, value in knowns if value is None)
    if missing:
        return MoneyAnswer(None, tuple(missing))
    calls, prompt_cost, tune_cost, runs, retraining, months, people, labels, difference = (
        value for _, value in knowns if value is not None
    )
    extra_hosting = max(0.0, spec.hosting_per_month - task.models.prompt.hosting_per_month)
    terms = Terms(
        calls=calls,
        prompt=prompt_cost,
        tune=tune_cost,
        labels=labels,
        runs=runs,
        retraining=retraining,
        every=months,
        hosting=extra_hosting,
        people=people,
        horizon=task.traffic.horizon_months,
        value=task.traffic.value_per_correct_answer,
        difference=difference,
        volume="stated" if served is None else "measured",
    )
    doubt = _doubt(task, comparison)
    savings = saving_draws(terms, doubt, task.seed)
    low, high = np.quantile(savings, (0.025, 0.975))
    return MoneyAnswer(
        Money(
            currency=task.currency,
            prompt_per_call=terms.prompt,
            tune_per_call=terms.tune,
            fixed=terms.fixed,
            monthly=terms.monthly,
            horizon_months=terms.horizon,
            calls_per_month=calls,
            volume=terms.volume,
            break_even_calls=terms.break_even,
            p_pays=float((savings > 0).mean()),
            saving_per_month=Interval(
                estimate=calls * terms.saving_per_call - terms.overhead,
                low=float(low),
                high=float(high),
                n=DRAWS,
                method="Monte-Carlo",
            ),
            assumptions=_assumptions(task, terms, effort),
            curve=_curve(terms),
            tornado=tornado(terms, doubt, task.seed),
        )
    )


def _knowns(
    task: Task,
    prompt: VariantScore,
    tune: VariantScore,
    comparison: Comparison | None,
    effort: Effort,
) -> tuple[tuple[str, float | None], ...]:
    """What to do for each of the formula's inputs if it is None; one that cannot matter is 0."""
    spec = task.models.tune
    assert spec is not None
    labels: float | None = 0.0
    if effort.labels_to_buy:
        price = task.labelling.cost_per_example
        labels = None if price is None else effort.labels_to_buy * price
    difference: float | None = 0.0
    if task.traffic.value_per_correct_answer > 0:
        measured = comparison.difference if comparison else None
        difference = measured.estimate if measured and measured.low is not None else None
    training = "training price: set models.tune.prices.training or models.tune.machine_per_hour"
    return (
        (
            _cost_hint("prompt", prompt, task.models.prompt),
            cost_per_call(prompt, task.models.prompt),
        ),
        (_cost_hint("tune", tune, spec), cost_per_call(tune, spec)),
        (training, training_cost(spec, effort.seconds, effort.tokens)),
        (training, training_cost(spec, effort.retrain_seconds, effort.retrain_tokens)),
        (
            "interval of retraining: set upkeep.retrain_every_months",
            task.upkeep.retrain_every_months,
        ),
        ("people's time for upkeep: set upkeep.cost_per_month", task.upkeep.cost_per_month),
        ("price of a label: set labelling.cost_per_example", labels),
        ("difference in quality: it was not measured", difference),
    )


def _cost_hint(side: str, score: VariantScore, spec: ModelSpec) -> str:
    if spec.prices is None and spec.machine_per_hour is None:
        return f"price of a call: set models.{side}.prices or models.{side}.machine_per_hour"
    measure = "tokens" if spec.prices else "latency"
    return f"{measure} per call of {score.name}: not measured"


def _doubt(task: Task, comparison: Comparison | None) -> Doubt:
    return Doubt(
        calls=task.traffic.calls_spread,
        prompt_price=PRICE_ERROR,
        tune_price=PRICE_ERROR,
        one_price=_same_price(task),
        difference=_spread(comparison),
    )


def _same_price(task: Task) -> bool:
    """Whether both arms pay one price, so that an error in it moves both."""
    prompt, tune = task.models.prompt, task.models.tune
    return tune is not None and (prompt.prices, prompt.machine_per_hour) == (
        tune.prices,
        tune.machine_per_hour,
    )


def _spread(comparison: Comparison | None) -> float:
    """Standard deviation behind the difference's interval; 0 where none is needed."""
    if comparison is None or comparison.difference.low is None:
        return 0.0
    assert comparison.difference.high is not None
    return (comparison.difference.high - comparison.difference.low) / _WIDTH_95


def _curve(terms: Terms) -> tuple[tuple[float, float, float], ...]:
    """Monthly costs over volumes from a tenth to ten times those of interest.

    The arm with the lower quality is charged the value of the right answers that it loses, so the
    lines cross at the break-even volume.
    """
    volumes_known = (v for v in (terms.calls, terms.break_even) if v is not None)
    of_interest = [max(1.0, v) for v in volumes_known]
    volumes = np.geomspace(min(of_interest) / 10, max(of_interest) * 10, _CURVE_POINTS)
    prompt = terms.prompt + max(0.0, terms.value * terms.difference)
    tune = terms.tune + max(0.0, -terms.value * terms.difference)
    return tuple((float(v), float(v * prompt), float(terms.overhead + v * tune)) for v in volumes)


def _assumptions(task: Task, terms: Terms, effort: Effort) -> tuple[str, ...]:
    def cost(value: float) -> str:
        return amount(value, task.currency)

    bought = (
        f"{effort.labels_to_buy:,} labels are bought at "
        f"{cost(task.labelling.cost_per_example or 0.0)}"
        if effort.labels_to_buy
        else f"the {effort.labels_used:,} labels used exist already and cost nothing more"
    )
    value = (
        f"a right answer is worth {cost(terms.value)}, and tuning adds "
        f"{terms.difference:+.3f} of one a call"
        if terms.value
        else "no value was given to a right answer, so quality earns nothing here"
    )
    asked = task.traffic.calls_per_month
    volume = f"{terms.calls:,.0f} calls a month"
    if terms.volume == "measured":
        said = "nothing" if asked is None else f"{asked:,.0f}"
        volume += f" as Trimtab served them (the task file says {said})"
    return (
        f"a call costs {cost(terms.prompt)} with the prompt and {cost(terms.tune)} with the "
        "fine-tune, at the measured tokens or latency and without retries",
        f"{volume}, give or take {task.traffic.calls_spread:.0%}, over {terms.horizon:g} months",
        bought,
        f"the training runs that made the fine-tune cost {cost(terms.runs)}, spread over the "
        "horizon",
        f"one retraining costs {cost(terms.retraining)}, every {terms.every:g} months, on as many "
        "rows as now and without new labels; both give or take "
        f"{RETRAINING_ERROR:.0%} (one standard deviation)",
        f"people's time for upkeep costs {cost(terms.people)} a month; with retraining and "
        f"additional hosting it comes to {cost(terms.monthly)}",
        value,
        f"prices are right to within {PRICE_ERROR:.0%} (one standard deviation)",
    )
