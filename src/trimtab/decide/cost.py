"""What calls and training cost, from measured tokens and times. Formulas: docs/statistics.md."""

from __future__ import annotations

from collections.abc import Mapping

from trimtab.compare.intervals import amount_interval
from trimtab.task.spec import ModelSpec
from trimtab.types import Completion, Interval, VariantScore


def cost_per_call(score: VariantScore, spec: ModelSpec) -> float | None:
    """Money per call in production, from token prices, or else from latency and a machine.

    Cached input is charged in full where no cached price is given. A machine is paid by the hour
    and busy for `utilisation` of it. None where a price or a measurement is missing.
    """
    if spec.prices is not None:
        total, cached, out = score.tokens_in, score.tokens_cached, score.tokens_out
        if total is None or cached is None or out is None:
            return None
        return spec.prices.of(total, cached, out) * (1 - spec.prices.batch_discount)
    per_second = _machine_per_second(spec)
    if per_second is None or score.latency is None:
        return None
    return per_second * score.latency.mean


def cost_of_1000_calls(
    score: VariantScore,
    spec: ModelSpec,
    calls: Mapping[str, Completion],
    clusters: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Interval | None:
    """1,000 times `cost_per_call`, with its interval at these prices; None where that is None.

    `calls` are the answered calls of `score` by example id, `clusters` the clusters of the ids.
    """
    per_call = cost_per_call(score, spec)
    if per_call is None:
        return None
    if spec.prices is not None:
        paid = 1000 * (1 - spec.prices.batch_discount)
        amounts = [
            paid * spec.prices.of(call.tokens_in, call.tokens_cached, call.tokens_out)
            for call in calls.values()
        ]
        names = [clusters.get(example, example) for example in calls] if clusters else None
        return amount_interval(amounts, names, seed=seed, floor=0.0)
    assert score.latency is not None
    return _scaled(score.latency.mean_interval, 1000 * per_call)


def training_cost(spec: ModelSpec, seconds: float, tokens: int) -> float | None:
    """Money for training: tokens at the training price, or else seconds of the machine."""
    if spec.prices is not None and spec.prices.training is not None:
        return tokens * spec.prices.training / 1e6
    if spec.machine_per_hour is not None:
        return seconds * spec.machine_per_hour / 3600
    return None


def _machine_per_second(spec: ModelSpec) -> float | None:
    if spec.machine_per_hour is None:
        return None
    return spec.machine_per_hour / 3600 / spec.utilisation


def _scaled(seconds: Interval | None, cost: float) -> Interval:
    """`cost`, as unsure as the seconds that it is proportional to."""
    if seconds is None or not seconds.estimate:
        return Interval(estimate=cost, low=None, high=None, n=0, method="none")
    unit = cost / seconds.estimate
    return seconds.model_copy(
        update={
            "estimate": cost,
            "low": None if seconds.low is None else unit * seconds.low,
            "high": None if seconds.high is None else unit * seconds.high,
        }
    )


def amount(money: float, currency: str) -> str:
    """For a sentence: three digits that count, and no cents from 1,000 on."""
    return f"{money:,.3g} {currency}" if abs(money) < 1000 else f"{money:,.0f} {currency}"
