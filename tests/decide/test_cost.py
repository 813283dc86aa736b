"""Calls and training are charged as measured, with the uncertainty of what was measured."""

import numpy as np
import pytest

from trimtab.decide.cost import cost_of_1000_calls, cost_per_call, training_cost
from trimtab.task.spec import ModelSpec, Prices
from trimtab.types import Completion, Interval

from .factories import latency, score

TOKENS = ModelSpec(prices=Prices(input=2.0, output=10.0, cached_input=0.5, training=5.0))
MACHINE = ModelSpec(machine_per_hour=3.6, utilisation=0.5)
PROMPT = score("prompt", 0.6, tokens_in=1_000.0, tokens_cached=800.0, tokens_out=50.0)


def test_a_call_by_tokens():
    """(200 x 2 + 800 x 0.5 + 50 x 10) / 1e6."""
    assert cost_per_call(PROMPT, TOKENS) == pytest.approx(0.0013)


def test_cached_tokens_without_a_price_of_their_own_cost_the_full_price():
    """(1,000 x 2 + 50 x 10) / 1e6."""
    spec = ModelSpec(prices=Prices(input=2.0, output=10.0))
    assert cost_per_call(PROMPT, spec) == pytest.approx(0.0025)


def test_a_call_by_machine():
    """0.001 a second, 1 s of latency, half idle."""
    assert cost_per_call(PROMPT, MACHINE) == pytest.approx(0.002)


def test_an_unknown_cost_stays_unknown():
    assert cost_per_call(PROMPT, ModelSpec()) is None
    assert cost_per_call(score("prompt", 0.6, latency=None), MACHINE) is None
    assert cost_per_call(score("prompt", 0.6, tokens_cached=None), TOKENS) is None


def test_training_by_tokens_or_by_machine():
    assert training_cost(TOKENS, 3_600, 4_000_000) == 20.0
    assert training_cost(MACHINE, 1_800, 4_000_000) == 1.8
    assert training_cost(ModelSpec(prices=Prices(input=1, output=1)), 1, 1) is None


def test_batches_take_their_discount():
    batched = TOKENS.model_copy(
        update={"prices": TOKENS.prices.model_copy(update={"batch_discount": 0.5})}
    )
    assert cost_per_call(PROMPT, batched) == pytest.approx(0.0013 / 2)


def calls(count, seed=0):
    rng = np.random.default_rng(seed)
    return {
        str(i): Completion(
            text="",
            finish="stop",
            tokens_in=int(rng.integers(100, 400)),
            tokens_cached=50,
            tokens_out=int(rng.integers(5, 60)),
        )
        for i in range(count)
    }


def scored(answers):
    each = answers.values()
    return score(
        "prompt",
        0.6,
        tokens_in=float(np.mean([c.tokens_in for c in each])),
        tokens_cached=50.0,
        tokens_out=float(np.mean([c.tokens_out for c in each])),
    )


def test_1000_calls_have_the_interval_of_their_tokens():
    answers = calls(200)
    found = cost_of_1000_calls(scored(answers), TOKENS, answers)
    each = [1000 * TOKENS.prices.of(c.tokens_in, 50, c.tokens_out) for c in answers.values()]
    assert found.estimate == pytest.approx(1000 * cost_per_call(scored(answers), TOKENS))
    half = 1.96 * np.std(each, ddof=1) / np.sqrt(200)
    assert found.low == pytest.approx(found.estimate - half, rel=0.02)
    assert found.high == pytest.approx(found.estimate + half, rel=0.02)
    assert found.n == 200


def test_rows_of_one_cluster_are_evidence_once():
    alone = calls(200)
    copied = {f"{i}-{copy}": call for i, call in alone.items() for copy in range(4)}
    clusters = {example: example.partition("-")[0] for example in copied}
    by_row, by_cluster = (
        cost_of_1000_calls(scored(copied), TOKENS, copied, names) for names in (None, clusters)
    )
    wide = by_cluster.high - by_cluster.low
    assert wide == pytest.approx(2 * (by_row.high - by_row.low), rel=0.1)


def test_equal_calls_have_no_interval():
    answers = {str(i): next(iter(calls(1).values())) for i in range(50)}
    found = cost_of_1000_calls(scored(answers), TOKENS, answers)
    assert found.estimate is not None
    assert (found.low, found.high) == (None, None)


def test_on_a_machine_1000_calls_are_as_unsure_as_the_mean_latency():
    timed = latency(mean=1.0).model_copy(
        update={"mean_interval": Interval(estimate=1.0, low=0.9, high=1.2, n=20, method="test")}
    )
    found = cost_of_1000_calls(score("prompt", 0.6, latency=timed), MACHINE, {})
    assert (found.estimate, found.low, found.high) == pytest.approx((2.0, 1.8, 2.4))


def test_1000_calls_of_unknown_price_stay_unknown():
    assert cost_of_1000_calls(PROMPT, ModelSpec(), calls(20)) is None
