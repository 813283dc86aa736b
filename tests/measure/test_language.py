"""Bits per byte, against the suite's own and against the training loss."""

from __future__ import annotations

import math

import pytest

from tiny import LEARNT
from trimtab.engine.cache import RequestCache
from trimtab.errors import BudgetSpent
from trimtab.measure.bench import Bench
from trimtab.measure.calibrate import Rates
from trimtab.measure.language import MOST_ROWS, Reader, affordable, asked_rows, general_texts
from trimtab.measure.meter import Meter, Silent
from trimtab.prompt.nearest import NearestPool
from trimtab.score.label import from_contract
from trimtab.store.run import open_run
from trimtab.task.spec import Budget, ModelSpec
from trimtab.tune.loss import mean_loss
from trimtab.tune.retention.answer import answer
from trimtab.tune.retention.suite import Passage
from trimtab.tune.rows import encode
from trimtab.types import Example, Prompt, Variant

from .factories import GENEROUS, LABELS

ROWS = [Example(id=text, input=text, target=label) for text, label in LEARNT.items()]


@pytest.fixture
def bench(tmp_path, tiny_engine):
    run, _ = open_run(tmp_path, {"task file": "t"}, {})
    cache = RequestCache(tmp_path / "cache.sqlite")
    meter = Meter(run, GENEROUS, Silent())
    spec = ModelSpec(engine="local")
    pool = NearestPool(ROWS)
    yield Bench(run, tiny_engine, spec, from_contract(LABELS), LABELS, pool, cache, meter)
    cache.close()
    run.close()


def variant(**settings) -> Variant:
    prompt = settings.pop("prompt", Prompt(system="Decide whose name it is."))
    return Variant(name="v", arm="prompt", model="m", prompt=prompt, max_tokens=8, **settings)


def test_plain_text_is_read_as_the_retention_suite_reads_it(bench, tiny_engine) -> None:
    texts = [row.input for row in ROWS]
    found = Reader(tiny_engine, bench.meter).plain(texts)
    expected = answer(tiny_engine, [Passage(text=text) for text in texts], None)
    assert list(found) == pytest.approx([each.bits_per_byte for each in expected])


def test_tokens_to_a_word_are_those_of_the_plain_text(bench, tiny_engine) -> None:
    texts = [row.input for row in ROWS]
    words = sum(len(text.split()) for text in texts)
    tokens = sum(len(tiny_engine.loaded.tokenizer(text)["input_ids"]) for text in texts)
    reader = Reader(tiny_engine, bench.meter)
    assert reader.tokens_per_word(texts) == pytest.approx(tokens / words)
    assert reader.tokens_per_word(["?!"]) is None


def test_targets_in_use_agree_with_the_training_loss(bench, tiny_engine) -> None:
    rows = asked_rows(tiny_engine, bench, variant(), ROWS)
    found = Reader(tiny_engine, bench.meter).targets(rows, None)
    encoded = encode(tiny_engine.template, Prompt(system="Decide whose name it is."), ROWS)
    assert [(r.prompt, r.answer) for r in rows] == [(r.prompt, r.answer) for r in encoded]
    nats = sum(
        bits * len(row.target.encode()) * math.log(2) for bits, row in zip(found, ROWS, strict=True)
    )
    tiny_engine.adapters.use(None)
    tokens = sum(len(row.answer) for row in rows)
    assert nats == pytest.approx(mean_loss(tiny_engine.loaded.model, encoded) * tokens, rel=1e-4)


def test_an_adapter_taught_these_targets_needs_fewer_bits(bench, tiny_engine, tiny_adapter) -> None:
    rows = asked_rows(tiny_engine, bench, variant(), ROWS)
    reader = Reader(tiny_engine, bench.meter)
    before, after = reader.targets(rows, None), reader.targets(rows, str(tiny_adapter))
    assert sum(after) < 0.5 * sum(before)


def test_a_prompt_that_retrieves_is_read_with_its_demonstrations(bench, tiny_engine) -> None:
    shown = variant(prompt=Prompt(system="Decide.", nearest=2))
    rows = asked_rows(tiny_engine, bench, shown, ROWS[:2])
    plain = asked_rows(tiny_engine, bench, variant(prompt=Prompt(system="Decide.")), ROWS[:2])
    assert all(len(a.prompt) > len(b.prompt) for a, b in zip(rows, plain, strict=True))
    assert [row.answer for row in rows] == [row.answer for row in plain]


def test_a_single_token_has_no_bits(bench, tiny_engine) -> None:
    first, second = Reader(tiny_engine, bench.meter).plain(["x", "two words"])
    assert first is None
    assert second > 0


def test_the_budget_ends_reading_between_chunks(tmp_path, tiny_engine) -> None:
    run, _ = open_run(tmp_path, {"task file": "t"}, {})
    with run:
        meter = Meter(run, Budget(calls=1), Silent())
        meter.book(calls=1)
        with pytest.raises(BudgetSpent, match="1 calls"):
            Reader(tiny_engine, meter).plain(["some text"])


def test_rows_follow_the_time_there_is() -> None:
    rates = Rates(prefill=100, decode=1)
    assert affordable(50, rates, 10) == 20
    assert affordable(50, rates, 1e6) == MOST_ROWS
    assert affordable(50, rates, -3) <= 0


def test_general_texts_are_plain_passages() -> None:
    texts = general_texts()
    assert len(texts) >= 10
    assert all(len(text) > 50 for text in texts)
