"""The plan promises what the run does, fits the budget, and grows with it."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.engine.fake import FakeEngine
from trimtab.measure.calibrate import Rates
from trimtab.measure.consistency import CONSISTENCY, CONSISTENCY_SHARE, calls_for
from trimtab.measure.meter import JUDGING
from trimtab.measure.plan import (
    CONFIRMATION,
    FEWEST_TIMED,
    LATENCY,
    LAYOUT_SHARE,
    LAYOUTS,
    MOST_TIMED,
    PROMPTS,
    TIMED_SHARE,
    TRAINING,
    Lengths,
    make_plan,
    max_answer,
    measure_lengths,
)
from trimtab.measure.sizes import (
    FEWEST_SIZES,
    MOST_SIZES,
    NARROWEST_RATIO,
    TRAINING_SLACK,
    nested_sizes,
)
from trimtab.prompt.recipe import Kitchen
from trimtab.prompt.search import LAST_SHARE, PromptSearch
from trimtab.prompt.styles import STYLES
from trimtab.task.spec import Models, ModelSpec, Prices
from trimtab.task.split import MIN_TRAIN, SealedTest, Split
from trimtab.types import Arm, Spent

from .factories import examples, task

pytestmark = pytest.mark.usefixtures("all_sizes")

RATES = Rates(prefill=1000, decode=100, train=300)
LENGTHS = Lengths(system=40, short_system=12, input=10, target=6, longest_target=20, turn=8)


def split(train: int, dev: int = 30, test: int = 50) -> Split:
    rows = examples(train + dev + test)
    return Split(
        tuple(rows[:train]), tuple(rows[train : train + dev]), SealedTest(rows[train + dev :])
    )


def plan_of(
    minutes: float,
    train: int = 500,
    rates: Rates = RATES,
    lengths=LENGTHS,
    spent: float = 0.0,
    tuned: Rates | None = None,
    **settings,
):
    """Both arms on one model, or the fine-tune on one of the rates `tuned`; none that cannot."""
    asked = task(budget={"minutes": minutes}, **settings)
    parts = split(train)
    search = PromptSearch(Kitchen(asked, "fake", 8, parts.train), lambda: 64)
    of_arms = {"prompt": rates}
    if (tuned or rates).train is not None:
        of_arms["fine-tune"] = tuned or rates
    both = {"prompt": lengths, "fine-tune": lengths}
    plan = make_plan(asked, parts, both, of_arms, search, ("fake",), spent)
    return plan, search, parts


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
        assert TRAINING_SLACK * seconds(plan, TRAINING) <= plan.arm_seconds
        assert sizes[0] >= MIN_TRAIN
        assert sizes[-1] <= train
        assert len(sizes) <= MOST_SIZES
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


def test_what_calibration_took_is_gone() -> None:
    fresh, late = plan_of(60)[0], plan_of(60, spent=600)[0]
    assert late.arm_seconds == pytest.approx(plan_of(50)[0].arm_seconds)
    assert late.arm_seconds < fresh.arm_seconds
    assert plan_of(1, spent=600)[0].arm_seconds == 0


def test_a_tuned_model_of_another_speed_is_planned_at_its_own() -> None:
    slow = Rates(prefill=RATES.prefill / 10, decode=RATES.decode / 10, train=RATES.train)
    same, other = (plan_of(60, tuned=each)[0] for each in (RATES, slow))
    by_key = [{stage.key: stage.seconds for stage in plan.stages} for plan in (same, other)]
    prompt, tuned = (CONFIRMATION, "prompt"), (CONFIRMATION, "fine-tune")
    assert by_key[1][prompt] == by_key[0][prompt]
    assert by_key[1][tuned] == pytest.approx(10 * by_key[0][tuned])
    assert other.rates == {"prompt": RATES, "fine-tune": slow}


def test_a_dear_judge_leaves_money_for_its_answers_after_the_training() -> None:
    asked, parts = task(budget={"minutes": 600, "money": 5}), split(500)
    search = PromptSearch(Kitchen(asked, "fake", 8, parts.train), lambda: 64)
    both: dict[Arm, Lengths] = {"prompt": LENGTHS, "fine-tune": LENGTHS}
    of_arms: dict[Arm, Rates] = {"prompt": RATES, "fine-tune": RATES}
    trained = {}
    for price in (0.0, 0.001, 0.01):
        one = Spent(stage=JUDGING, calls=1, money=price)
        plan = make_plan(asked, parts, both, of_arms, search, ("fake",), judging=one)
        trained[price] = len(plan.train_sizes)
        later = sum(s.calls for s in plan.stages if s.stage in (CONFIRMATION, LAYOUTS, CONSISTENCY))
        dev = sum(stage.calls for stage in plan.stages if stage.stage == TRAINING)
        assert price * dev <= max(0.0, 5 - price * later) / 2
    assert trained[0.0] == MOST_SIZES > trained[0.01]


@pytest.mark.parametrize(("most_shown", "shown"), [(4, 4), (64, 8)])
def test_the_sealed_test_of_doubled_demonstrations_is_set_aside(most_shown, shown) -> None:
    asked, parts = task(search={"demonstrations": [4]}), split(500, test=50)
    search = PromptSearch(Kitchen(asked, "fake", 8, parts.train), lambda: most_shown)
    plan = make_plan(asked, parts, {"prompt": LENGTHS}, {"prompt": RATES}, search, ("fake",))
    (confirmed,) = (stage for stage in plan.stages if stage.stage == CONFIRMATION)
    row = LENGTHS.system + LENGTHS.turn + LENGTHS.input + shown * LENGTHS.demonstration
    assert confirmed.tokens_in == 50 * row


def test_the_longest_target_of_either_model_limits_answers() -> None:
    wordy = LENGTHS.model_copy(update={"longest_target": 200})
    assert max_answer([LENGTHS, wordy]) == max_answer([wordy, LENGTHS]) > 200


@pytest.mark.parametrize(
    ("minutes", "test", "calls"),
    [(0.1, 50, FEWEST_TIMED), (1e4, 500, MOST_TIMED), (1e4, 40, 40)],
)
def test_calls_are_timed_as_the_budget_allows(minutes, test, calls) -> None:
    parts = split(500, test=test)
    asked = task(budget={"minutes": minutes})
    search = PromptSearch(Kitchen(asked, "fake", 8, parts.train), lambda: 64)
    plan = make_plan(asked, parts, {"prompt": LENGTHS}, {"prompt": RATES}, search, ("fake",))
    assert plan.timed_calls == calls


def test_timed_calls_beyond_the_fewest_keep_to_their_share() -> None:
    for minutes in (10, 20, 30, 40):
        plan = plan_of(minutes)[0]
        if plan.timed_calls > FEWEST_TIMED:
            assert seconds(plan, LATENCY) <= TIMED_SHARE * minutes * 60 + 1e-6
    assert FEWEST_TIMED < plan_of(20)[0].timed_calls < MOST_TIMED


def test_a_large_budget_trains_on_all_rows_in_six_nested_sizes() -> None:
    plan, _, _ = plan_of(1e5, train=500)
    assert plan.train_sizes == (50, 79, 126, 199, 315, 500)


def test_the_largest_size_comes_first_and_then_as_many_as_are_paid_for() -> None:
    found = [plan_of(minutes)[0].train_sizes for minutes in range(2, 60)]
    planned = [sizes for sizes in found if sizes]
    assert {len(sizes) for sizes in planned if sizes[-1] == 500} == {3, 4, 5, 6}
    for sizes in planned:
        if sizes[-1] < 500:  # a larger one was not paid for, so nothing was left to spread
            assert len(sizes) <= FEWEST_SIZES + 1
    for less, more in pairwise(planned):
        assert (less[-1], len(less)) <= (more[-1], len(more)) or less[-1] < more[-1]


def test_a_further_size_costs_its_own_epochs_and_no_other_training() -> None:
    of = {
        sizes: plan_of(60, search={"train_sizes": sizes, "epochs": 2})[0]
        for sizes in ((50, 500), (50, 150, 500))
    }
    fewer, more = (
        next(stage for stage in plan.stages if stage.stage == TRAINING) for plan in of.values()
    )
    row = LENGTHS.short_system + LENGTHS.turn + LENGTHS.input + LENGTHS.target
    assert more.train_tokens - fewer.train_tokens == 2 * 150 * row


def test_where_general_ability_counts_a_remedy_fits_too() -> None:
    for minutes in range(4, 40):
        plan, _, _ = plan_of(minutes, constraints={"general_ability": "needed"})
        if len(plan.train_sizes) > FEWEST_SIZES:
            once = plan_of(
                600, search={"train_sizes": plan.train_sizes[-1:], "learning_rates": [1e-3]}
            )[0]
            needed = seconds(plan, TRAINING) + seconds(once, TRAINING)
            assert TRAINING_SLACK * needed <= plan.arm_seconds + 1e-6


@given(st.integers(MIN_TRAIN, 10**6), st.integers(FEWEST_SIZES, MOST_SIZES))
def test_nested_sizes_are_not_too_small_and_not_too_near(top, count) -> None:
    sizes = nested_sizes(top, count)
    assert sizes[-1] == top
    assert len(sizes) in {1, *range(FEWEST_SIZES, count + 1)}
    assert sizes[0] >= (50 if top >= 200 else MIN_TRAIN)
    for small, large in pairwise(sizes):
        assert large / small > NARROWEST_RATIO - 0.03  # they are rounded to whole rows


@pytest.mark.parametrize(
    ("train", "sizes"),
    [
        (20, (20,)),
        (44, (44,)),
        (45, (20, 30, 45)),
        (100, (25, 40, 63, 100)),
        (140, (35, 56, 88, 140)),
        (200, (50, 79, 126, 200)),
    ],
)
def test_few_rows_are_trained_on_in_three_sizes_too_as_a_forecast_needs(train, sizes) -> None:
    assert plan_of(1e5, train=train)[0].train_sizes == sizes


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


def test_calls_and_tokens_by_hand() -> None:
    plan, _, parts = plan_of(60, search={"demonstrations": [2], "train_sizes": [40, 100]})
    by_stage = {(stage.stage, stage.arm): stage for stage in plan.stages}
    prompts = by_stage[PROMPTS, "prompt"]
    # free and constrained; 3 other formats; 3 ways to choose 2 and the 2 nearest; their other
    # order; free again; thinking first, in two calls. And as much again as may follow.
    times = 1 / (1 - LAST_SHARE)
    assert prompts.calls == round(times * 13 * len(parts.dev))
    shown = 3 * 2 + 3 * 2 + 2 * 2
    row = LENGTHS.system + LENGTHS.turn + LENGTHS.input
    one = LENGTHS.turn + LENGTHS.input + LENGTHS.target
    assert prompts.tokens_in == round(times * 30 * (13 * row + shown * one))
    training = by_stage[TRAINING, "fine-tune"]
    # 3 epochs of 40 rows at two more rates, of 40 and of 100 rows
    trained = 12 + 8 + 10 + 6
    assert training.train_tokens == 3 * (2 * 40 + 40 + 100) * trained
    assert training.calls == 3 * 2 * len(parts.dev)
    assert by_stage[CONFIRMATION, "prompt"].calls == 50
    assert by_stage[CONFIRMATION, "fine-tune"].calls == 50
    timed = next(s for s in plan.stages if s.arm is None)
    assert timed.calls == 2 * plan.timed_calls
    again = [s for s in plan.stages if s.stage == CONSISTENCY]
    assert [s.arm for s in again] == ["prompt", "fine-tune"]
    assert calls_for((10, 2)) <= again[0].calls == again[1].calls


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
    assert max_answer([found]) == math.ceil(9 * 1.1) + 4


def test_the_limit_of_an_answer_leaves_room_for_every_target(tiny_engine) -> None:
    rows = examples(20)
    found = measure_lengths(task(), tiny_engine, rows)
    tokenizer = tiny_engine.loaded.tokenizer
    longest = max(len(tokenizer(row.target)["input_ids"]) for row in rows)
    assert found.longest_target >= longest
    assert max_answer([found]) > longest + 1  # and for the end of the turn


def test_the_search_is_planned_within_the_arms_share() -> None:
    for minutes in (0.5, 2, 60):
        plan, _, _ = plan_of(minutes)
        assert seconds(plan, PROMPTS) <= plan.arm_seconds + 1e-6
    roomy = plan_of(1000)[0]
    assert seconds(roomy, PROMPTS) == pytest.approx(seconds(plan, PROMPTS))


def test_other_layouts_keep_to_their_share_and_to_the_dev_rows() -> None:
    for minutes in (1, 10, 60):
        plan, _, _ = plan_of(minutes)
        assert 0 < seconds(plan, LAYOUTS) <= LAYOUT_SHARE * minutes * 60 + 1e-6
    roomy, _, parts = plan_of(1e4)
    (layouts,) = [stage for stage in roomy.stages if stage.stage == LAYOUTS]
    assert layouts.calls == (len(STYLES) - 1) * len(parts.dev)


def test_consistency_keeps_to_its_share_beyond_its_least_size() -> None:
    def calls(plan) -> int:
        return next(stage.calls for stage in plan.stages if stage.stage == CONSISTENCY)

    for minutes in (2, 10, 60):
        plan, _, _ = plan_of(minutes)
        if calls(plan) > calls_for((10, 2)):
            assert seconds(plan, CONSISTENCY) <= CONSISTENCY_SHARE * minutes * 60 + 1e-6
    assert calls(plan_of(0.1)[0]) == calls_for((10, 2))
    roomy, _, parts = plan_of(1e4)
    assert calls(roomy) == calls_for((len(parts.dev), len(STYLES) - 1))
