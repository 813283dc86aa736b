"""Each call is made once, in batches that a kill does not change, and judged or blamed."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trimtab.engine.fake import FakeEngine
from trimtab.errors import BudgetSpent, DataError
from trimtab.measure.bench import SAMPLING_TEMPERATURE, call_price, prompt_tokens
from trimtab.prompt.variants import constrained
from trimtab.store.files import read_records
from trimtab.task.spec import Budget, ModelSpec
from trimtab.types import Completion, Failed, Prompt, Scored

from .factories import (
    GENEROUS,
    LABELS,
    PRICES,
    Crash,
    CrashingEngine,
    bench,
    close,
    examples,
    variant,
)

ROWS = examples(40)


def person(messages, decoding) -> str:
    return "person"


def test_records_come_in_the_order_of_the_examples(tmp_path) -> None:
    sitting = bench(tmp_path, FakeEngine(person))
    records = sitting.records(variant(), "dev", ROWS)
    assert [r.example for r in records] == [row.id for row in ROWS]
    assert {r.variant for r in records} == {variant().id}
    right = [r.outcome.metrics["accuracy"] for r in records]
    assert right == [float(row.target == "person") for row in ROWS]
    assert sorted(_saved(sitting), key=str) == sorted(records, key=str)
    close(sitting)


def _saved(sitting, split="dev", of=None):
    return read_records(sitting.run.records_path((of or variant()).id, split))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(crashes=st.lists(st.integers(0, 30), min_size=1, max_size=3))
def test_no_call_is_made_twice_after_crashes(tmp_path_factory, crashes) -> None:
    root = tmp_path_factory.mktemp("run")
    answered = 0
    for left in crashes:
        engine = CrashingEngine(left, answer=person)
        sitting = bench(root, engine)
        with suppress(Crash):
            sitting.records(variant(), "dev", ROWS)
        answered = len(_saved(sitting))
        close(sitting)
    engine = CrashingEngine(answer=person)
    sitting = bench(root, engine)
    records = sitting.records(variant(), "dev", ROWS)
    assert engine.calls == len(ROWS) - answered
    assert len(_saved(sitting)) == len({r.example for r in _saved(sitting)}) == len(ROWS)
    assert [r.example for r in records] == [row.id for row in ROWS]
    assert not any(r.reused for r in records)
    close(sitting)


def test_chunks_are_cut_alike_whatever_is_done(tmp_path) -> None:
    whole = CrashingEngine(answer=person)
    sitting = bench(tmp_path / "whole", whole)
    sitting.records(variant(), "dev", ROWS)
    close(sitting)
    assert [len(batch) for batch in whole.batches] == [16, 16, 8]
    cut = CrashingEngine(16 + 5, answer=person)
    sitting = bench(tmp_path / "cut", cut)
    with pytest.raises(Crash):
        sitting.records(variant(), "dev", ROWS)
    close(sitting)
    resumed = CrashingEngine(answer=person)
    sitting = bench(tmp_path / "cut", resumed)
    sitting.records(variant(), "dev", ROWS)
    close(sitting)
    assert resumed.batches == [whole.batches[1][5:], whole.batches[2]]


def test_the_order_of_the_examples_does_not_change_the_chunks(tmp_path) -> None:
    batches = []
    for name, rows in (("a", ROWS), ("b", ROWS[::-1])):
        engine = CrashingEngine(answer=person)
        sitting = bench(tmp_path / name, engine)
        sitting.records(variant(), "dev", rows)
        close(sitting)
        batches.append(engine.batches)
    assert batches[0] == batches[1]


def test_a_cached_answer_is_marked_and_has_no_latency(tmp_path) -> None:
    engine = FakeEngine(person)
    first = bench(tmp_path / "one", engine, cache="../cache")
    first.records(variant(), "dev", ROWS)
    close(first)
    second = bench(tmp_path / "two", engine, cache="../cache")
    records = second.records(variant(), "dev", ROWS)
    assert engine.calls == len(ROWS)
    assert all(r.reused and r.completion.latency_s is None for r in records)
    assert all(isinstance(r.outcome, Scored) for r in records)
    assert sum(s.calls for s in second.run.spent()) == 0
    assert sum(s.money for s in second.run.spent()) == 0
    close(second)


def test_a_constrained_answer_is_reused_only_where_the_free_one_satisfies(tmp_path) -> None:
    def half_valid(messages, decoding) -> str:
        return "person" if len(messages[-1].content) % 2 else "a person, I think"

    engine = CrashingEngine(answer=half_valid)
    sitting = bench(tmp_path, engine)
    free = sitting.records(variant(), "dev", ROWS)
    bound = sitting.records(constrained(variant()), "dev", ROWS)
    for before, after in zip(free, bound, strict=True):
        assert after.reused == (before.completion.text == "person")
        assert after.outcome.valid
    invalid = sum(not r.reused for r in bound)
    assert 0 < invalid < len(ROWS)
    assert engine.calls == len(ROWS) + invalid
    close(sitting)


def test_an_engine_that_cannot_know_is_asked_again(tmp_path) -> None:
    class Unsure(FakeEngine):
        def satisfies(self, contract, completion) -> bool:
            return False

    engine = Unsure(person)
    sitting = bench(tmp_path, engine)
    sitting.records(variant(), "dev", ROWS)
    bound = sitting.records(constrained(variant()), "dev", ROWS)
    assert engine.calls == 2 * len(ROWS)
    assert not any(r.reused for r in bound)
    close(sitting)


def test_a_sampled_constrained_answer_is_never_read_off_a_free_one(tmp_path) -> None:
    engine = FakeEngine(person)
    sitting = bench(tmp_path, engine)
    sitting.sampled(variant(), "test", ROWS, 1)
    bound = sitting.sampled(constrained(variant()), "test", ROWS, 1)
    assert engine.calls == 2 * len(ROWS)
    assert not any(r.reused for r in bound)
    close(sitting)


def test_failed_calls_are_kept_as_such_and_never_cached(tmp_path) -> None:
    def fail(request):
        return Failed(boundary="timeout", message="no answer within 1 s")

    sitting = bench(tmp_path / "one", FakeEngine(person, fail=fail), cache="../cache")
    records = sitting.records(variant(), "dev", ROWS)
    assert all(r.completion is None and r.outcome.boundary == "timeout" for r in records)
    assert sum(s.calls for s in sitting.run.spent()) == len(ROWS)
    close(sitting)
    healed = FakeEngine(person)
    sitting = bench(tmp_path / "two", healed, cache="../cache")
    records = sitting.records(variant(), "dev", ROWS)
    assert healed.calls == len(ROWS)
    assert all(isinstance(r.outcome, Scored) for r in records)
    close(sitting)


def test_a_target_that_cannot_be_judged_is_blamed_on_the_scorer(tmp_path) -> None:
    def scorer(answer, target):
        if target == "company":
            raise DataError("the target breaks the contract")
        return Scored(metrics={"accuracy": 1.0}, valid=True)

    sitting = bench(tmp_path, FakeEngine(person), scorer=scorer)
    records = sitting.records(variant(), "dev", ROWS)
    for row, record in zip(ROWS, records, strict=True):
        failed = isinstance(record.outcome, Failed)
        assert failed == (row.target == "company")
        assert record.completion is not None
        if failed:
            assert record.outcome.boundary == "scorer"
    close(sitting)


def test_sampled_answers_differ_in_seed_only(tmp_path) -> None:
    seen = []

    def answer(messages, decoding) -> str:
        seen.append((messages[-1].content, decoding.temperature, decoding.seed))
        return "person"

    sitting = bench(tmp_path, FakeEngine(answer))
    records = sitting.sampled(variant(), "test", ROWS[:5], 3)
    assert [r.repeat for r in records] == [0] * 5 + [1] * 5 + [2] * 5
    assert len(set(seen)) == 15
    assert {temperature for _, temperature, _ in seen} == {SAMPLING_TEMPERATURE}
    assert len({seed for _, _, seed in seen}) == 15
    # They lie beside the greedy records, not among them.
    assert _saved(sitting, "test") == []
    assert sitting.sampled(variant(), "test", ROWS[:5], 3) == records
    assert len(seen) == 15
    close(sitting)


def test_repeats_of_an_example_are_asked_together(tmp_path) -> None:
    engine = CrashingEngine(answer=person)
    sitting = bench(tmp_path, engine)
    sitting.sampled(variant(), "test", ROWS, 2)
    for batch in engine.batches:
        assert batch[::2] == batch[1::2]
    assert sum(map(len, engine.batches)) == 80
    close(sitting)


def test_latency_is_measured_once_and_never_from_the_cache(tmp_path) -> None:
    engine = FakeEngine(person)
    sitting = bench(tmp_path, engine)
    sitting.records(variant(), "test", ROWS[:3])
    timed = [sitting.timed(variant(), row) for row in ROWS[:3]]
    assert engine.calls == 6
    assert all(call.latency_s > 0 for call in timed)
    assert [sitting.timed(variant(), row) for row in ROWS[:3]] == timed
    assert engine.calls == 6
    close(sitting)


def test_a_failed_call_has_no_time(tmp_path) -> None:
    fails = FakeEngine(person, fail=lambda request: Failed(boundary="server", message="500"))
    sitting = bench(tmp_path, fails)
    assert sitting.timed(variant(), ROWS[0]) is None
    assert sitting.timed(variant(), ROWS[0]) is None
    assert fails.calls == 1
    close(sitting)


@pytest.mark.parametrize("calls", [1, 15, 16, 17, 39])
def test_a_spent_budget_keeps_what_was_answered(tmp_path, calls) -> None:
    engine = FakeEngine(person)
    sitting = bench(tmp_path, engine, budget=Budget(minutes=600, calls=calls))
    with pytest.raises(BudgetSpent):
        sitting.records(variant(), "dev", ROWS)
    assert engine.calls == len(_saved(sitting)) == calls
    assert sitting.meter.stopped_by == f"{calls} calls"
    close(sitting)
    sitting = bench(tmp_path, engine)  # with more budget it goes on
    assert len(sitting.records(variant(), "dev", ROWS)) == len(ROWS)
    assert engine.calls == len(ROWS)
    close(sitting)


@pytest.mark.parametrize("money", [0.0001, 0.0002, 0.0003])
def test_money_is_overspent_by_no_more_than_one_call(tmp_path, money) -> None:
    sitting = bench(tmp_path, FakeEngine(person), budget=Budget(minutes=600, money=money))
    dearest = max(
        PRICES.of(sitting.engine.count_tokens(request.messages), 0, request.decoding.max_tokens)
        for request in sitting._requests(variant(), ROWS, 0)
    )
    with pytest.raises(BudgetSpent):
        sitting.records(variant(), "dev", ROWS)
    (spent,) = sitting.run.spent()
    assert money - dearest <= spent.money <= money + dearest
    assert sitting.meter.stopped_by == f"{money:g} of money"
    close(sitting)


def test_a_budget_that_is_just_enough_is_enough(tmp_path) -> None:
    sitting = bench(tmp_path, FakeEngine(person), budget=Budget(minutes=600, calls=len(ROWS)))
    assert len(sitting.records(variant(), "dev", ROWS)) == len(ROWS)
    assert sitting.meter.stopped_by is None
    close(sitting)


def test_answers_that_are_there_can_be_read_without_a_budget(tmp_path) -> None:
    sitting = bench(tmp_path, FakeEngine(person))
    measured = sitting.records(variant(), "dev", ROWS)
    close(sitting)
    sitting = bench(tmp_path, FakeEngine(person), budget=Budget(minutes=600, calls=1))
    assert sitting.records(variant(), "dev", ROWS) == measured
    close(sitting)


def test_what_calls_cost_is_booked(tmp_path) -> None:
    sitting = bench(tmp_path, FakeEngine(person))
    records = sitting.records(variant(), "dev", ROWS)
    (spent,) = sitting.run.spent()
    assert spent.calls == len(ROWS)
    assert spent.tokens_in == sum(r.completion.tokens_in for r in records)
    assert spent.tokens_out == sum(r.completion.tokens_out for r in records)
    expected = sum(call_price(sitting.spec, r.completion) for r in records)
    assert spent.money == pytest.approx(expected)
    assert expected > 0
    close(sitting)


def test_retries_are_booked_as_calls(tmp_path) -> None:
    class Retrying(FakeEngine):
        def generate(self, requests):
            for position, answer in super().generate(requests):
                yield position, answer.model_copy(update={"attempts": 3})

    fails = Retrying(
        person,
        fail=lambda request: (
            Failed(boundary="server", message="500")
            if "name 7" in request.messages[-1].content
            else None
        ),
    )
    sitting = bench(tmp_path, fails)
    sitting.records(variant(), "dev", ROWS)
    (spent,) = sitting.run.spent()
    assert spent.calls == 3 * len(ROWS)
    close(sitting)


def test_the_price_of_a_call_by_hand() -> None:
    answer = Completion(text="x", finish="stop", tokens_in=1000, tokens_cached=400, tokens_out=50)
    spec = ModelSpec(engine="fake", prices=PRICES)
    assert call_price(spec, answer) == pytest.approx((600 * 1 + 400 * 0.1 + 50 * 10) / 1e6)
    full = ModelSpec(engine="fake", prices=PRICES.model_copy(update={"cached_input": None}))
    assert call_price(full, answer) == pytest.approx((1000 * 1 + 50 * 10) / 1e6)
    assert call_price(ModelSpec(), answer) == 0


def test_prompt_tokens_leave_out_the_input(tmp_path) -> None:
    sitting = bench(tmp_path, FakeEngine(person))
    assert prompt_tokens(sitting, variant(), ROWS) == 1  # the fake engine counts words
    shown = Prompt(system="Decide now.", demonstrations=tuple(examples(2, start=500)))
    words = sum(len(row.input.split()) + 1 for row in examples(2, start=500))
    assert prompt_tokens(sitting, variant(prompt=shown), ROWS) == 2 + words
    close(sitting)


def test_records_on_disk_are_one_json_line_each(tmp_path) -> None:
    sitting = bench(tmp_path, FakeEngine(person), budget=GENEROUS)
    sitting.records(variant(), "dev", ROWS)
    path = sitting.run.records_path(variant().id, "dev")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert {line["example"] for line in lines} == {row.id for row in ROWS}
    assert LABELS.labels[0] in {line["completion"]["text"] for line in lines}
    close(sitting)
