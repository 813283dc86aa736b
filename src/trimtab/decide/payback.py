"""The break-even formula, how sure its answer is, and which input the answer hangs on.

Formula: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trimtab.types import Swing

Array = NDArray[np.float64]

DRAWS = 10_000
PRICE_ERROR = 0.1
"""Relative standard deviation of prices in the Monte-Carlo: Trimtab's choice."""
STATED_ERROR = 0.3
"""The same of amounts that the team states, for `tornado` only: Trimtab's choice."""
RETRAINING_ERROR = 0.3
"""The same of how often a fine-tune is retrained and of what one retraining takes: Trimtab's
choice. Neither has happened yet; a task that drifts asks for it sooner, and the data grow."""
_END = 1.644854
"""Normal quantile of 95%: standard deviations from the middle to either end."""


@dataclass(frozen=True)
class Terms:
    """The formula's terms: money per call, per month, and the worth of one more right answer.

    Of the cost of having a fine-tune, `runs`, `retraining` and `hosting` are at the model's prices;
    `labels` and `people` are not. `horizon` and `every` are in months.
    """

    calls: float
    prompt: float
    tune: float
    labels: float
    """Once, for labels to buy."""
    runs: float
    """Once, for the training runs."""
    retraining: float
    """For one retraining."""
    every: float
    """Months between retrainings."""
    hosting: float
    """A month, beyond the prompt's."""
    people: float
    """A month, for upkeep."""
    horizon: float
    value: float
    difference: float
    volume: Literal["stated", "measured"] = "stated"
    """Where the calls come from."""

    @property
    def fixed(self) -> float:
        """One-off cost."""
        return self.labels + self.runs

    @property
    def monthly(self) -> float:
        """Upkeep, people's and the model's."""
        return self.retraining / self.every + self.hosting + self.people

    @property
    def overhead(self) -> float:
        """Monthly cost of having a fine-tune at all."""
        return self.fixed / self.horizon + self.monthly

    @property
    def saving_per_call(self) -> float:
        return self.prompt - self.tune + self.value * self.difference

    @property
    def break_even(self) -> float | None:
        """Calls a month; None where no volume pays."""
        return self.overhead / self.saving_per_call if self.saving_per_call > 0 else None


@dataclass(frozen=True)
class Doubt:
    """How unsure the terms are: relative standard deviations, that of `difference` absolute."""

    calls: float
    prompt_price: float
    tune_price: float
    one_price: bool
    """Both arms pay one price, so that an error in it moves both."""
    difference: float
    retraining: float = RETRAINING_ERROR
    """Of what one retraining takes, at the same price."""
    often: float = RETRAINING_ERROR
    """Of how often there is one."""


def _log_sd(relative: float) -> float:
    """Standard deviation of the logarithm of an amount, from its own over its mean."""
    return math.sqrt(math.log1p(relative**2))


def _factors(rng: np.random.Generator, relative: float) -> Array:
    """(DRAWS,) lognormal factors of mean 1."""
    sd = _log_sd(relative)
    return rng.lognormal(-(sd**2) / 2, sd, DRAWS)


def _ends_of(middle: float, relative: float) -> tuple[float, float]:
    """The 5% and 95% ends of a lognormal amount whose mean is `middle`."""
    sd = _log_sd(relative)
    centre, reach = middle * math.exp(-(sd**2) / 2), math.exp(_END * sd)
    return centre / reach, centre * reach


def saving_draws(terms: Terms, doubt: Doubt, seed: int) -> Array:
    """(DRAWS,) savings a month. The same chance for one seed, whatever the terms, so that terms
    compare."""
    rng = np.random.default_rng(seed)
    calls = terms.calls * _factors(rng, doubt.calls)
    errors = rng.standard_normal((2, DRAWS))
    tune_price = np.maximum(1 + doubt.tune_price * errors[0], 0.0)
    prompt_price = np.maximum(1 + doubt.prompt_price * errors[1], 0.0)
    if doubt.one_price:
        prompt_price = tune_price
    quality = rng.normal(terms.difference, doubt.difference, DRAWS).clip(-1, 1)
    per_call = terms.prompt * prompt_price - terms.tune * tune_price + terms.value * quality
    retraining = terms.retraining * _factors(rng, doubt.retraining) * _factors(rng, doubt.often)
    at_price = terms.runs / terms.horizon + retraining / terms.every + terms.hosting
    stated = terms.labels / terms.horizon + terms.people
    savings: Array = calls * per_call - at_price * tune_price - stated
    return savings


def chance_of_paying(terms: Terms, doubt: Doubt, seed: int) -> float:
    return float((saving_draws(terms, doubt, seed) > 0).mean())


_Pin = Callable[[float], tuple[Terms, Doubt]]
"""The terms with one of them known to be so, and what is left in doubt."""


@dataclass(frozen=True)
class _Input:
    """One input of the formula with its 5% and 95% ends."""

    name: str
    unit: Literal["money", "calls", "difference", "months", "factor"]
    basis: Literal["measured", "stated"]
    ends: tuple[float, float]
    pin: _Pin


def tornado(terms: Terms, doubt: Doubt, seed: int) -> tuple[Swing, ...]:
    """Each input at its 5% and 95% ends while the others stay in doubt, the widest swing first.

    Ends of what is drawn are those of its distribution; those of an amount that the team states are
    1.645 STATED_ERROR away. Inputs that change nothing are left out.
    """
    swings = []
    for each in _inputs(terms, doubt):
        if each.ends[0] == each.ends[1]:
            continue
        (low, doubt_low), (high, doubt_high) = map(each.pin, each.ends)
        swings.append(
            Swing(
                name=each.name,
                unit=each.unit,
                basis=each.basis,
                low=each.ends[0],
                high=each.ends[1],
                p_low=chance_of_paying(low, doubt_low, seed),
                p_high=chance_of_paying(high, doubt_high, seed),
                break_even_low=low.break_even,
                break_even_high=high.break_even,
            )
        )
    return tuple(sorted(swings, key=_width, reverse=True))


def _width(swing: Swing) -> tuple[float, float]:
    """How far the probability swings, then how far the break-even does, as a ratio."""
    chance = abs(swing.p_high - swing.p_low)
    low, high = swing.break_even_low, swing.break_even_high
    if low is None or high is None:
        return chance, 0.0 if low == high else math.inf
    return chance, max(low, high) / max(min(low, high), 1e-9)


def _inputs(terms: Terms, doubt: Doubt) -> Iterator[_Input]:
    away = _END * doubt.difference
    ends = (max(-1.0, terms.difference - away), min(1.0, terms.difference + away))
    if terms.value:
        yield _Input(
            "quality that tuning adds",
            "difference",
            "measured",
            ends,
            lambda x: (replace(terms, difference=x), replace(doubt, difference=0.0)),
        )
        yield _stated(terms, doubt, "value", "worth of a right answer", "money")
    yield _Input(
        "calls a month",
        "calls",
        terms.volume,
        _ends_of(terms.calls, doubt.calls),
        lambda x: (replace(terms, calls=x), replace(doubt, calls=0.0)),
    )
    yield from _prices(terms, doubt)
    yield from _retraining(terms, doubt)
    yield _stated(terms, doubt, "people", "people's upkeep a month", "money")
    yield _stated(terms, doubt, "labels", "labels to buy", "money")
    yield _stated(terms, doubt, "horizon", "horizon", "months")


def _retraining(terms: Terms, doubt: Doubt) -> Iterator[_Input]:
    if not terms.retraining:
        return
    seldom, often = _ends_of(1 / terms.every, doubt.often)
    yield _Input(
        "months between retrainings",
        "months",
        "stated",
        (1 / often, 1 / seldom),
        lambda x: (replace(terms, every=x), replace(doubt, often=0.0)),
    )
    yield _Input(
        "one retraining",
        "money",
        "measured",
        _ends_of(terms.retraining, doubt.retraining),
        lambda x: (replace(terms, retraining=x), replace(doubt, retraining=0.0)),
    )


def _stated(
    terms: Terms,
    doubt: Doubt,
    field: Literal["value", "people", "labels", "horizon"],
    name: str,
    unit: Literal["money", "months"],
) -> _Input:
    amount: float = getattr(terms, field)
    away = _END * STATED_ERROR * amount

    def pin(known: float) -> tuple[Terms, Doubt]:
        changed: Mapping[str, Any] = {field: known}
        return replace(terms, **changed), doubt

    return _Input(name, unit, "stated", (amount - away, amount + away), pin)


def _prices(terms: Terms, doubt: Doubt) -> Iterator[_Input]:
    """Of 1,000 calls; training and hosting of the fine-tune move with its price."""

    def tune(factor: float) -> Terms:
        return replace(
            terms,
            tune=terms.tune * factor,
            runs=terms.runs * factor,
            retraining=terms.retraining * factor,
            hosting=terms.hosting * factor,
        )

    def ends(error: float, amount: float) -> tuple[float, float]:
        return amount * (1 - _END * error), amount * (1 + _END * error)

    sure = replace(doubt, prompt_price=0.0, tune_price=0.0)
    if doubt.one_price:
        yield _Input(
            "prices, the same for both",
            "factor",
            "stated",
            ends(doubt.tune_price, 1.0),
            lambda x: (replace(tune(x), prompt=terms.prompt * x), sure),
        )
        return
    yield _Input(
        "1,000 calls with the prompt",
        "money",
        "stated",
        ends(doubt.prompt_price, 1000 * terms.prompt),
        lambda x: (replace(terms, prompt=x / 1000), replace(doubt, prompt_price=0.0)),
    )
    yield _Input(
        "1,000 calls with the fine-tune",
        "money",
        "stated",
        ends(doubt.tune_price, 1000 * terms.tune),
        lambda x: (tune(x / (1000 * terms.tune)), replace(doubt, tune_price=0.0)),
    )
