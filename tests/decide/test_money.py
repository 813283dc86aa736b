import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trimtab.decide.money import Effort, money
from trimtab.task.spec import ModelSpec, Prices
from trimtab.types import Latency, Spent

from .factories import comparison, score, task

TOKENS = ModelSpec(prices=Prices(input=2.0, output=10.0, cached_input=0.5, training=5.0))
MACHINE = ModelSpec(machine_per_hour=3.6, utilisation=0.5)
EFFORT = Effort(
    seconds=3_600, tokens=4_000_000, retrain_seconds=600, retrain_tokens=600_000, labels_used=800
)
PROMPT = score("prompt", 0.6, tokens_in=1_000.0, tokens_cached=800.0, tokens_out=50.0)
TUNE = score("fine-tune", 0.9, tokens_in=100.0, tokens_cached=0.0, tokens_out=50.0)


def priced(spec_prompt=TOKENS, spec_tune=TOKENS, people=0, **traffic):
    return task(
        models={"prompt": spec_prompt, "tune": spec_tune},
        traffic={"calls_per_month": 300_000, "horizon_months": 10, **traffic},
        upkeep={"retrain_every_months": 6, "cost_per_month": people},
    )


def work_out(found, *, quality=None, effort=EFFORT):
    return money(found, PROMPT, TUNE, quality, effort)


def test_break_even_by_hand():
    """Calls cost 0.0013 and (100 x 2 + 50 x 10)/1e6 = 0.0007, so 0.0006 is saved.

    F = 4 M x 5 = 20, over 10 months 2; R = 0.6 M x 5 = 3, over 6 months 0.5; 2.5 / 0.0006.
    """
    found = work_out(priced()).money
    assert found.prompt_per_call == pytest.approx(0.0013)
    assert found.tune_per_call == pytest.approx(0.0007)
    assert found.fixed == pytest.approx(20)
    assert found.monthly == pytest.approx(0.5)
    assert found.break_even_calls == pytest.approx(2.5 / 0.0006)
    assert found.saving_per_month.estimate == pytest.approx(300_000 * 0.0006 - 2.5)
    assert found.saving_per_month.low < found.saving_per_month.estimate
    assert found.saving_per_month.high > found.saving_per_month.estimate
    assert found.p_pays == 1.0


def test_peoples_time_counts_against_a_fine_tune():
    """2.5 a month without it, 102.5 with 100 a month."""
    found = work_out(priced(people=100)).money
    assert found.monthly == pytest.approx(100.5)
    assert found.break_even_calls == pytest.approx(102.5 / 0.0006)
    missing = work_out(priced(people=None)).missing
    assert [hint for hint in missing if "upkeep.cost_per_month" in hint]


def test_hosting_and_new_labels_by_hand():
    """Hosting 15 - 5 = 10 a month more; 100 labels at 0.5 = 50: (70/10 + 0.5 + 10) / 0.0006."""
    prompt = TOKENS.model_copy(update={"hosting_per_month": 5.0})
    tune = TOKENS.model_copy(update={"hosting_per_month": 15.0})
    bought = Effort(
        seconds=0,
        tokens=4_000_000,
        retrain_seconds=0,
        retrain_tokens=600_000,
        labels_used=900,
        labels_to_buy=100,
    )
    settings_ = priced(prompt, tune).model_copy(
        update={"labelling": task(labelling={"cost_per_example": 0.5}).labelling}
    )
    found = work_out(settings_, effort=bought).money
    assert found.fixed == pytest.approx(70)
    assert found.monthly == pytest.approx(10.5)
    assert found.break_even_calls == pytest.approx(17.5 / 0.0006)


def test_a_right_answer_has_its_value():
    """0.0006 + 0.01 x 0.3 = 0.0036 saved a call."""
    found = work_out(priced(value_per_correct_answer=0.01), quality=comparison(0.3)).money
    assert found.break_even_calls == pytest.approx(2.5 / 0.0036)


def test_a_dearer_call_never_breaks_even():
    dear = ModelSpec(prices=Prices(input=20.0, output=100.0, training=5.0))
    found = work_out(priced(TOKENS, dear)).money
    assert found.break_even_calls is None
    assert found.p_pays == 0.0
    assert found.saving_per_month.estimate < 0


def test_an_even_bet_is_told_as_one():
    """At the break-even volume the saving is as often positive as not (price error shared)."""
    found = work_out(priced(calls_per_month=2.5 / 0.0006)).money
    assert found.p_pays == pytest.approx(0.45, abs=0.06)


def test_what_retraining_takes_and_how_often_is_told_as_unsure():
    told = " ".join(work_out(priced(people=7)).money.assumptions)
    assert "one retraining costs 3 USD, every 6 months" in told
    assert "both give or take 30%" in told
    names = {swing.name for swing in work_out(priced(people=7)).money.tornado}
    assert {"months between retrainings", "one retraining", "people's upkeep a month"} <= names


def test_the_plotted_lines_cross_at_the_break_even():
    answer = work_out(priced(value_per_correct_answer=0.01), quality=comparison(0.3)).money
    assert len(answer.curve) == 25
    for calls, prompt, tune in answer.curve:
        assert (tune < prompt) == (calls > answer.break_even_calls)
    assert answer.curve[0][0] < answer.break_even_calls < answer.curve[-1][0]
    assert answer.curve[0][0] < answer.calls_per_month < answer.curve[-1][0]


@pytest.mark.parametrize(
    ("found", "hint"),
    [
        (priced(calls_per_month=None), "traffic.calls_per_month"),
        (priced(ModelSpec()), "models.prompt.prices"),
        (priced(spec_tune=ModelSpec()), "models.tune.prices"),
        (
            priced(spec_tune=ModelSpec(prices=Prices(input=1, output=1))),
            "models.tune.prices.training",
        ),
        (priced(value_per_correct_answer=0.1), "difference in quality"),
    ],
)
def test_what_is_missing_is_named(found, hint):
    answer = work_out(found)
    assert answer.money is None
    assert any(hint in line for line in answer.missing)


def test_missing_upkeep_latency_and_labels_are_named_once_each():
    found = task(models={"prompt": MACHINE, "tune": MACHINE}, upkeep={"retrain_every_months": None})
    untimed = score("prompt", 0.6, latency=None)
    buying = Effort(0, 0, 0, 0, labels_used=1, labels_to_buy=5)
    answer = money(found, untimed, TUNE, None, buying)
    assert answer.money is None
    assert len(answer.missing) == 3
    for hint in ("latency per call", "upkeep.retrain_every_months", "labelling.cost_per_example"):
        assert any(hint in line for line in answer.missing)


def test_sunk_labels_are_said_to_be_sunk():
    assert any("800 labels used exist already" in a for a in work_out(priced()).money.assumptions)


def test_a_task_without_a_model_to_tune_is_refused():
    with pytest.raises(ValueError, match="no model to tune"):
        work_out(task(models={"tune": None}))


def test_latency_prices_the_faster_model_lower():
    fast = score("fine-tune", 0.9, latency=Latency(p50=0.2, p95=0.3, mean=0.25, n=20))
    found = money(priced(MACHINE, MACHINE), PROMPT, fast, None, EFFORT).money
    assert found.tune_per_call == pytest.approx(found.prompt_per_call / 4)


@given(
    volumes=st.lists(st.floats(0, 1e7), min_size=2, max_size=2).map(sorted),
    value=st.floats(0, 0.05),
    estimate=st.floats(-0.2, 0.4),
)
@settings(max_examples=40, deadline=None)
def test_more_volume_never_makes_paying_less_likely(volumes, value, estimate):
    less, more = (
        work_out(
            priced(calls_per_month=volume, value_per_correct_answer=value),
            quality=comparison(estimate, 0.1),
        ).money
        for volume in volumes
    )
    assert more.p_pays >= less.p_pays
    assert more.break_even_calls == less.break_even_calls


@given(st.floats(0.5, 40), st.floats(0, 1e6))
@settings(max_examples=40, deadline=None)
def test_a_cheaper_fine_tune_never_pays_less_often(price, volume):
    dear, cheap = (
        work_out(
            priced(
                spec_tune=ModelSpec(prices=Prices(input=2.0, output=output, training=5.0)),
                calls_per_month=volume,
            )
        ).money
        for output in (price, price / 2)
    )
    assert cheap.p_pays >= dear.p_pays
    assert cheap.saving_per_month.estimate >= dear.saving_per_month.estimate


def test_a_remedy_is_paid_for_and_where_one_is_in_use_again_with_each_retraining():
    plain = Effort(seconds=90, tokens=900, retrain_seconds=60, retrain_tokens=600, labels_used=400)
    spent = Spent(stage="remedies", seconds=30.0, train_tokens=300)
    tried, kept = (plain.mended(spent, in_use=in_use) for in_use in (False, True))
    assert (tried.seconds, tried.tokens) == (kept.seconds, kept.tokens) == (120, 1_200)
    assert (tried.retrain_seconds, tried.retrain_tokens) == (60, 600)
    assert (kept.retrain_seconds, kept.retrain_tokens) == (90, 900)
