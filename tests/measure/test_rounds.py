"""Variants that answer in several calls: each call is made once, and each is booked."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.engine.fake import FakeEngine
from trimtab.errors import BudgetSpent
from trimtab.measure.bench import call_price, prompt_tokens
from trimtab.predictor import Predictor
from trimtab.prompt.variants import constrained, reasoning, retrying
from trimtab.prompt.wording import ANSWER_NOW
from trimtab.store.files import read_records
from trimtab.task.spec import Budget
from trimtab.types import Failed, Scored

from .factories import Crash, CrashingEngine, bench, close, examples, task, variant

ROWS = examples(24)
RETRYING = retrying(variant(), 2)
THINKING = reasoning(variant())


def in_time(messages, decoding) -> str:
    """Valid at once for a third of the rows, after one hint for another, never for the last."""
    row = next(m.content for m in messages if m.content.startswith("name "))
    number = int(row.split()[1])
    tries = sum(m.role == "assistant" for m in messages)
    if messages[-1].content == ANSWER_NOW:
        return "company"
    if "think about this input" in messages[-1].content:
        return f"thoughts about {number}"
    return "person" if tries >= number % 3 and number % 3 < 2 else f"wrong {tries}"


ROUNDS = {row.id: (1, 2, 3)[int(row.input.split()[1]) % 3] for row in ROWS}
CALLS = sum(ROUNDS.values())


def saved(sitting, of):
    return read_records(sitting.run.records_path(of.id, "dev"))


def test_each_record_holds_the_last_answer_and_the_sums_of_its_rounds(tmp_path) -> None:
    engine = FakeEngine(in_time)
    sitting = bench(tmp_path, engine)
    records = sitting.records(RETRYING, "dev", ROWS)
    assert [r.completion.rounds for r in records] == [ROUNDS[row.id] for row in ROWS]
    for record in records:
        assert record.completion.attempts == record.completion.rounds
        assert record.outcome.valid == (record.completion.text == "person")
        assert record.completion.text == ("wrong 2" if record.completion.rounds == 3 else "person")
    (spent,) = sitting.run.spent()
    assert spent.calls == engine.calls == CALLS
    assert spent.tokens_in == sum(r.completion.tokens_in for r in records)
    assert spent.tokens_out == sum(r.completion.tokens_out for r in records)
    expected = sum(call_price(sitting.spec, r.completion) for r in records)
    assert spent.money == pytest.approx(expected)
    close(sitting)


def test_calls_go_out_in_batches_round_by_round(tmp_path) -> None:
    engine = CrashingEngine(answer=in_time)
    sitting = bench(tmp_path, engine)
    sitting.records(RETRYING, "dev", ROWS)
    close(sitting)
    sizes = [len(batch) for batch in engine.batches]
    assert len(sizes) == 6, "two chunks of three rounds each"
    assert sizes[0] + sizes[3] == len(ROWS)
    assert sizes[2] + sizes[5] == sum(rounds == 3 for rounds in ROUNDS.values())


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    crashes=st.lists(st.integers(0, CALLS), min_size=1, max_size=4),
    asked=st.sampled_from([RETRYING, THINKING, constrained(THINKING)]),
)
def test_no_finished_call_is_repeated_after_crashes(tmp_path_factory, crashes, asked) -> None:
    whole = bench(tmp_path_factory.mktemp("whole"), FakeEngine(in_time))
    expected = whole.records(asked, "dev", ROWS)
    close(whole)
    root = tmp_path_factory.mktemp("cut")
    calls = 0
    for left in crashes:
        engine = CrashingEngine(left, answer=in_time)
        sitting = bench(root, engine)
        with suppress(Crash):
            sitting.records(asked, "dev", ROWS)
        # The answer that the crash met was given and lost.
        calls += engine.calls - (engine.left == 0 and len(saved(sitting, asked)) < len(ROWS))
        close(sitting)
    engine = CrashingEngine(answer=in_time)
    sitting = bench(root, engine)
    records = sitting.records(asked, "dev", ROWS)
    (spent,) = sitting.run.spent()
    assert spent.calls == calls + engine.calls == sum(r.completion.rounds for r in records)
    strip = {"reused": False}
    assert [r.model_copy(update=strip) for r in records] == expected
    assert len(saved(sitting, asked)) == len(ROWS)
    close(sitting)


def test_the_first_round_of_trying_again_is_the_plain_variants_call(tmp_path) -> None:
    engine = FakeEngine(in_time)
    sitting = bench(tmp_path, engine)
    sitting.records(variant(), "dev", ROWS)
    records = sitting.records(RETRYING, "dev", ROWS)
    assert engine.calls == CALLS
    for record in records:
        assert record.reused == (record.completion.rounds == 1)
    close(sitting)


def test_all_rounds_come_from_the_cache_of_another_run(tmp_path) -> None:
    engine = FakeEngine(in_time)
    for name, calls in (("one", CALLS), ("two", 0)):
        sitting = bench(tmp_path / name, engine, cache="../cache")
        records = sitting.records(RETRYING, "dev", ROWS)
        assert sum(s.calls for s in sitting.run.spent()) == calls
        assert all(r.reused == (calls == 0) for r in records)
        close(sitting)


def test_thoughts_are_free_and_the_answer_after_them_is_constrained(tmp_path) -> None:
    seen = []

    def answer(messages, decoding) -> str:
        seen.append((messages[-1].content, decoding.contract))
        return in_time(messages, decoding)

    sitting = bench(tmp_path, FakeEngine(answer))
    records = sitting.records(constrained(THINKING), "dev", ROWS[:4])
    assert [contract for text, contract in seen if text != ANSWER_NOW] == [None] * 4
    assert [contract for text, contract in seen if text == ANSWER_NOW] == [sitting.contract] * 4
    assert {r.completion.text for r in records} == {"company"}
    assert all(r.completion.rounds == 2 for r in records)
    close(sitting)


@pytest.mark.parametrize("calls", [1, 5, 17, 24, 40, CALLS - 1])
def test_a_budget_that_ends_between_rounds_keeps_whole_answers_only(tmp_path, calls) -> None:
    engine = FakeEngine(in_time)
    sitting = bench(tmp_path, engine, budget=Budget(minutes=600, calls=calls))
    with pytest.raises(BudgetSpent):
        sitting.records(RETRYING, "dev", ROWS)
    assert engine.calls == calls
    for record in saved(sitting, RETRYING):
        assert record.completion.rounds == ROUNDS[record.example]
    close(sitting)
    sitting = bench(tmp_path, engine)
    assert len(sitting.records(RETRYING, "dev", ROWS)) == len(ROWS)
    assert engine.calls == CALLS, "what was answered before the budget ended is not asked again"
    close(sitting)


def test_a_failed_round_fails_the_record_and_is_booked(tmp_path) -> None:
    def fail(request):
        later = any(m.role == "assistant" for m in request.messages)
        return Failed(boundary="server", message="500", attempts=2) if later else None

    sitting = bench(tmp_path, FakeEngine(in_time, fail=fail))
    records = sitting.records(RETRYING, "dev", ROWS)
    for record in records:
        if ROUNDS[record.example] == 1:
            assert isinstance(record.outcome, Scored)
        else:
            assert (record.outcome.boundary, record.outcome.attempts) == ("server", 3)
            assert record.completion is None
    (spent,) = sitting.run.spent()
    lost = sum(rounds > 1 for rounds in ROUNDS.values())
    assert spent.calls == len(ROWS) + 2 * lost
    close(sitting)


def test_time_is_that_of_all_rounds(tmp_path) -> None:
    class Slow(FakeEngine):
        def time_call(self, request):
            answer = super().time_call(request)
            return answer.model_copy(update={"latency_s": 0.5})

    engine = Slow(in_time)
    sitting = bench(tmp_path, engine)
    timed = {row.id: sitting.timed(RETRYING, row) for row in ROWS[:6]}
    for example, call in timed.items():
        assert call.latency_s == 0.5 * ROUNDS[example]
    assert engine.calls == sum(ROUNDS[row.id] for row in ROWS[:6])
    (spent,) = sitting.run.spent()
    assert spent.calls == engine.calls
    assert sitting.timed(RETRYING, ROWS[0]) == timed[ROWS[0].id]
    assert sitting.timed(reasoning(variant()), ROWS[0]).latency_s == 1.0
    close(sitting)


def test_prompt_tokens_are_of_the_first_call(tmp_path) -> None:
    sitting = bench(tmp_path, FakeEngine(in_time))
    assert prompt_tokens(sitting, RETRYING, ROWS) == prompt_tokens(sitting, variant(), ROWS)
    assert prompt_tokens(sitting, THINKING, ROWS) > prompt_tokens(sitting, variant(), ROWS)
    close(sitting)


@pytest.mark.parametrize("asked", [RETRYING, THINKING, retrying(constrained(THINKING))])
def test_predictions_are_the_measured_answers(tmp_path, asked) -> None:
    engine = FakeEngine(in_time)
    sitting = bench(tmp_path, engine)
    measured = [r.completion.text for r in sitting.records(asked, "dev", ROWS)]
    predictor = Predictor(asked, task(), tmp_path, engine, sitting.pool)
    assert [p.text for p in predictor.predict_many([row.input for row in ROWS])] == measured
    close(sitting)


@pytest.mark.model
def test_the_real_model_thinks_and_tries_again(tmp_path, real_model, monkeypatch) -> None:
    from tiny import load_in_float32
    from trimtab.prompt import ask

    monkeypatch.setattr(ask, "REASONING_TOKENS", 32)
    engine = load_in_float32(real_model)
    sitting = bench(tmp_path, engine)
    thinking = sitting.records(constrained(THINKING), "dev", ROWS[:6])
    trying = sitting.records(retrying(variant(), 1), "dev", ROWS[:6])
    assert all(isinstance(r.outcome, Scored) for r in [*thinking, *trying])
    assert {r.completion.rounds for r in thinking} == {2}
    assert all(r.outcome.valid for r in thinking)
    assert all(r.completion.tokens_out > 8 for r in thinking), "the thoughts are counted"
    for record in trying:
        assert record.completion.rounds in (1, 2)
        assert record.outcome.valid or record.completion.rounds == 2
    close(sitting)
