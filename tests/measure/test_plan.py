"""The plan promises what the run does, fits the budget, and grows with it."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.engine.fake import FakeEngine
from trimtab.measure.calibrate import Rates
from trimtab.measure.plan import (
    CONFIRMATION,
    PROMPTS,
    SAMPLED_REPEATS,
    SAMPLED_ROWS,
    SMALLEST_TRAINING,
    TIMED_CALLS,
    TRAINING,
    Lengths,
    make_plan,
    max_answer,
    measure_lengths,
)
from trimtab.prompt.search import PromptSearch, Shape
from trimtab.task.spec import Models, ModelSpec, Prices
from trimtab.task.split import SealedTest, Split
from trimtab.types import Interval, OutputContract, VariantScore

from .factories import examples, task

RATES = Rates(prefill=1000, decode=100, train=300)
LENGTHS = Lengths(system=40, short_system=12, input=10, target=6, longest_target=20, turn=8)
TEXT = OutputContract(kind="text")


def split(train: int, dev: int = 30, test: int = 50) -> Split:
    rows = examples(train + dev + test)
    return Split(
        tuple(rows[:train]), tuple(rows[train : train + dev]), SealedTest(rows[train + dev :])
    )


def plan_of(minutes: float, train: int = 500, rates: Rates = RATES, lengths=LENGTHS, **settings):
    asked = task(budget={"minutes": minutes}, **settings)
    parts = split(train)
    search = PromptSearch(asked, "fake", 8, parts.train)
    return make_plan(asked, parts, lengths, rates, search, ("fake",)), search, parts


def seconds(plan, *names) -> float:
    return sum(stage.seconds for stage in plan.stages if stage.stage in names)


rates = st.builds(
    Rates,
    prefill=st.floats(10, 1e5),
    decode=st.floats(1, 1e4),
    train=st.floats(1, 1e5),
)
lengths = st.builds(
    Lengths,
    system=st.floats(0, 500),
    short_system=st.floats(0, 50),
    input=st.floats(1, 500),
    target=st.floats(1, 100),
    longest_target=st.integers(100, 300),
    turn=st.floats(1, 20),
)


@given(
    a=st.floats(0.01, 1e4),
    b=st.floats(0.01, 1e4),
    train=st.integers(20, 1200),
    rates=rates,
    lengths=lengths,
)
def test_more_budget_never_gives_fewer_training_rows(a, b, train, rates, lengths) -> None:
    less, more = (
        max(plan_of(minutes, train, rates, lengths)[0].train_sizes, default=0)
        for minutes in sorted((a, b))
    )
    assert less <= more


@given(minutes=st.floats(0.01, 1e4), train=st.integers(20, 1200), rates=rates, lengths=lengths)
def test_training_fits_the_arm_and_the_whole_fits_the_budget(minutes, train, rates, lengths):
    plan, _, _ = plan_of(minutes, train, rates, lengths)
    sizes = plan.train_sizes
    assert bool(sizes) == (plan.no_tuning is None)
    assert list(sizes) == sorted(set(sizes))
    if sizes:
        assert seconds(plan, TRAINING) <= plan.arm_seconds
        assert sizes[0] >= SMALLEST_TRAINING
        assert sizes[-1] <= train
        assert len(sizes) <= 3
    else:
        assert not any(stage.arm == "fine-tune" for stage in plan.stages)
    rest = sum(s.seconds for s in plan.stages if s.stage not in (PROMPTS, TRAINING))
    # Confirmation may keep half of the budget from the arms, never more.
    assert 2 * plan.arm_seconds + min(rest, minutes * 30) <= minutes * 60 + 1e-6
    assert plan.arm_seconds >= minutes * 15


def test_both_arms_get_the_same_share() -> None:
    plan, _, _ = plan_of(60)
    rest = sum(s.seconds for s in plan.stages if s.stage not in (PROMPTS, TRAINING))
    assert plan.arm_seconds == pytest.approx((3600 - rest) / 2)


def test_a_large_budget_trains_on_all_rows_in_three_nested_sizes() -> None:
    plan, _, _ = plan_of(1e5, train=500)
    assert plan.train_sizes == (80, 200, 500)


def test_too_small_a_budget_says_why_nothing_is_tuned() -> None:
    plan, _, _ = plan_of(0.01)
    assert plan.train_sizes == ()
    assert "raise budget.minutes" in plan.no_tuning


def test_without_a_model_to_tune_nothing_is_planned_for_it() -> None:
    plan, _, _ = plan_of(60, rates=RATES.model_copy(update={"train": None}))
    assert plan.train_sizes == ()
    assert "no model that can be tuned" in plan.no_tuning
    assert {stage.arm for stage in plan.stages} <= {"prompt", None}


@pytest.mark.parametrize(
    ("asked", "available", "planned"),
    [((16, 32), 500, (16, 32)), ((32, 16), 500, (16, 32)), ((16, 900, 800), 500, (16, 500))],
)
def test_sizes_that_the_team_states_are_taken(asked, available, planned) -> None:
    plan, _, _ = plan_of(60, train=available, search={"train_sizes": asked})
    assert plan.train_sizes == planned


@settings(max_examples=25)
@given(
    demonstrations=st.lists(st.integers(1, 40), max_size=4),
    kind=st.sampled_from(["label", "text"]),
    best=st.integers(0, 2),
)
def test_the_planned_shapes_are_the_candidates_that_run(demonstrations, kind, best) -> None:
    """Same number, demonstrations and constraint, in the same order."""
    rest = {"output": TEXT, "metric": "exact"} if kind == "text" else {}
    asked = task(search={"demonstrations": demonstrations}, **rest)
    search = PromptSearch(asked, "fake", 8, examples(60))
    scored: list[Shape] = []

    def evaluate(variant) -> VariantScore:
        prompt = variant.prompt
        scored.append(Shape(len(prompt.demonstrations), prompt.nearest, variant.constrained))
        return _score(variant, float(len(scored) % 3 == best))

    search.run(evaluate)
    assert scored == search.shapes()


def _score(variant, quality: float) -> VariantScore:
    interval = Interval(estimate=quality, low=None, high=None, n=1, method="test")
    return VariantScore(
        variant=variant.id,
        name=variant.name,
        arm="prompt",
        split="dev",
        n=1,
        failures=0,
        quality=interval,
        metrics={},
        validity=interval,
        tokens_in=1,
        tokens_cached=0,
        tokens_out=1,
    )


def test_calls_and_tokens_by_hand() -> None:
    plan, search, parts = plan_of(60, search={"demonstrations": [2], "train_sizes": [40, 100]})
    by_stage = {(stage.stage, stage.arm): stage for stage in plan.stages}
    prompts = by_stage[PROMPTS, "prompt"]
    assert prompts.calls == len(search.shapes()) * len(parts.dev)
    # zero-shot twice; 3 ways to choose 2 and the best constrained; 2 nearest twice
    shown = 2 * 0 + 4 * 2 + 2 * 2
    row = LENGTHS.system + LENGTHS.turn + LENGTHS.input
    one = LENGTHS.turn + LENGTHS.input + LENGTHS.target
    assert prompts.tokens_in == round(30 * (8 * row + shown * one))
    training = by_stage[TRAINING, "fine-tune"]
    # 3 epochs of 40 rows at two more rates, of 40 and of 100 rows
    trained = 12 + 8 + 10 + 6
    assert training.train_tokens == 3 * (2 * 40 + 40 + 100) * trained
    assert training.calls == 3 * 2 * len(parts.dev)
    assert by_stage[CONFIRMATION, "prompt"].calls == 50
    assert by_stage[CONFIRMATION, "fine-tune"].calls == 50
    timed = next(s for s in plan.stages if s.arm is None)
    assert timed.calls == 2 * TIMED_CALLS
    sampled = [s for s in plan.stages if s.calls == SAMPLED_ROWS * SAMPLED_REPEATS]
    assert {s.arm for s in sampled} == {"prompt", "fine-tune"}


def test_money_follows_the_prices() -> None:
    priced = ModelSpec(engine="fake", prices=Prices(input=2, output=8))
    plan, _, _ = plan_of(60, models=Models(prompt=priced, tune=None))
    prompts = next(s for s in plan.stages if s.stage == PROMPTS)
    expected = (prompts.tokens_in * 2 + prompts.tokens_out * 8) / 1e6
    assert prompts.money == pytest.approx(expected, rel=1e-3)
    free, _, _ = plan_of(60)
    assert all(stage.money == 0 for stage in free.stages)


def test_lengths_are_measured_on_this_tasks_rows() -> None:
    rows = [row.model_copy(update={"target": "person"}) for row in examples(80)]
    rows[-1] = rows[-1].model_copy(update={"target": "a very long target of nine words in all"})
    found = measure_lengths(task(), FakeEngine(), rows)
    assert found.longest_target == 9  # every target counts for the limit, not a sample
    assert found.target == pytest.approx((79 + 9) / 80)
    assert found.input == pytest.approx(sum(len(r.input.split()) for r in rows[:64]) / 64)
    assert found.system > found.short_system == 5
    assert max_answer(found) == math.ceil(9 * 1.1) + 4


def test_the_limit_of_an_answer_leaves_room_for_every_target(tiny_engine) -> None:
    rows = examples(20)
    found = measure_lengths(task(), tiny_engine, rows)
    tokenizer = tiny_engine.loaded.tokenizer
    longest = max(len(tokenizer(row.target)["input_ids"]) for row in rows)
    assert found.longest_target >= longest
    assert max_answer(found) > longest + 1  # and for the end of the turn
