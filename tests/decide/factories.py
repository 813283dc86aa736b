"""A complete piece of evidence in which a fine-tune wins; tests change one thing at a time."""

from dataclasses import replace
from datetime import date

from trimtab.decide.evidence import Evidence
from trimtab.task.spec import Task
from trimtab.types import (
    ArmConsistency,
    Comparison,
    Consistency,
    Forecast,
    Interval,
    Language,
    Latency,
    Money,
    Plateau,
    VariantScore,
)

TODAY = date(2026, 6, 1)


def interval(estimate, half=0.03, n=200):
    return Interval(
        estimate=estimate,
        low=max(0.0, estimate - half),
        high=min(1.0, estimate + half),
        n=n,
        method="test",
    )


def task(**changes):
    settings = {
        "name": "addresses",
        "instructions": "Split the address.",
        "data": {"path": "rows.jsonl"},
        "output": {"kind": "json", "schema": {"type": "object", "properties": {"city": {}}}},
        "metric": "field_f1",
        "goals": {"quality": 0.85, "smallest_difference": 0.03},
        "constraints": {"general_ability": "not-needed", "p95_latency_seconds": 5},
        "traffic": {"calls_per_month": 300_000, "stable_since": "2026-01-01"},
        "upkeep": {
            "owner": "platform team",
            "review_every_days": 30,
            "retrain_every_months": 6,
            "cost_per_month": 0,
            "rollback": True,
        },
    }
    for name, change in changes.items():
        merge = isinstance(change, dict) and name in settings and name != "output"
        settings[name] = {**settings[name], **change} if merge else change
    return Task.model_validate(settings)


def score(arm, quality, **changes):
    settings = {
        "variant": f"id-{arm}",
        "name": "8 nearest demonstrations" if arm == "prompt" else "fine-tune on 800 rows",
        "arm": arm,
        "split": "test",
        "n": 200,
        "failures": 0,
        "quality": interval(quality),
        "metrics": {},
        "validity": interval(1.0, 0.005),
        "tokens_in": 600.0 if arm == "prompt" else 60.0,
        "tokens_cached": 0.0,
        "tokens_out": 30.0,
        "latency": latency(),
    }
    return VariantScore(**{**settings, **changes})


def latency(p95=2.0, *, low=None, high=None, mean=1.0, n=20, sure=None):
    """Bounds of the 95th percentile; both 0.1 s away where none is given, else as they are. The
    mean has an interval where it is `sure` to so many seconds."""
    if low is None and high is None:
        low, high = p95 - 0.1, p95 + 0.1
    bounds = Interval(estimate=p95, low=low, high=high, n=n, method="test")
    of_mean = None
    if sure is not None:
        of_mean = Interval(estimate=mean, low=mean - sure, high=mean + sure, n=n, method="test")
    return Latency(p50=mean, p95=p95, mean=mean, n=n, p95_interval=bounds, mean_interval=of_mean)


def comparison(estimate, half=0.04, *, detectable=0.06):
    return Comparison(
        a="id-prompt",
        b="id-fine-tune",
        metric="field_f1",
        n=200,
        difference=Interval(
            estimate=estimate, low=estimate - half, high=estimate + half, n=200, method="test"
        ),
        test="test",
        p_value=0.01,
        smallest_detectable=detectable,
        wins=60,
        losses=20,
        ties=120,
        failures_a=0,
        failures_b=0,
    )


def money(*, p_pays=0.97, break_even=100_000.0, prompt=0.0004, tune=0.0004, calls=300_000.0):
    return Money(
        currency="USD",
        prompt_per_call=prompt,
        tune_per_call=tune,
        fixed=12.0,
        monthly=2.0,
        horizon_months=12.0,
        calls_per_month=calls,
        break_even_calls=break_even,
        p_pays=p_pays,
        saving_per_month=Interval(estimate=50, low=5, high=90, n=10_000, method="test"),
    )


def forecast(needed, low=None, high=None):
    return Forecast(
        goal=0.85,
        rows_now=800,
        rows_needed=needed,
        rows_low=low,
        rows_high=high,
        label_cost=None,
        statement=f"about {needed} rows would reach 0.85",
    )


def consistency(difference, half=0.05, *, p_value=0.001):
    """Prompt 0.80, fine-tune by `difference` more; None where only one arm was asked again."""
    gap = None
    if difference is not None:
        gap = Interval(
            estimate=difference,
            low=difference - half,
            high=difference + half,
            n=30,
            method="test",
        )
    return Consistency(
        rows=30,
        of=40,
        arms=tuple(
            ArmConsistency(
                variant=f"id-{arm}",
                name=arm,
                arm=arm,
                kept=interval(kept, n=30),
                worst_answer=None,
                sources=(),
                variance={},
            )
            for arm, kept in (("prompt", 0.8), ("fine-tune", 0.8 + (difference or 0.0)))
        ),
        compared=("sample", "input"),
        difference=gap,
        p_value=p_value,
    )


def language(inputs, saved, *, p_value=0.001):
    """General text takes 1 bit a byte, targets 1 with the prompt and `saved` less tuned."""

    def bits(estimate, half=0.03):
        return Interval(
            estimate=estimate, low=estimate - half, high=estimate + half, n=20, method="test"
        )

    return Language(
        rows=20,
        general=bits(1.0),
        inputs=bits(inputs),
        tokens_per_word={},
        untuned=bits(1.2),
        prompted=None if saved is None else bits(1.0),
        tuned=bits(1.0 - (saved or 0.0)),
        saved=None if saved is None else bits(saved, 0.04),
        p_value=None if saved is None else p_value,
        closed=None,
    )


def plateau(state, high=0.01):
    gain = Interval(estimate=0.0, low=-0.01, high=high, n=40, method="test")
    return Plateau(state=state, last_share=0.6, gain=gain, least=0.03, statement=f"it is {state}")


def evidence(**changes):
    """Prompt 0.60, fine-tune 0.90, goal 0.85; every blocking gate passes."""
    complete = Evidence(
        task=task(),
        today=TODAY,
        prompt=score("prompt", 0.60),
        fine_tune=score("fine-tune", 0.90),
        comparison=comparison(0.30),
        money=money(),
        forecast=None,
        n_train=800,
        rows_approved=1_000,
        rows_total=1_000,
        prompt_search_complete=True,
        plateau=plateau("exhausted"),
    )
    return replace(complete, **changes)
