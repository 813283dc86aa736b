"""Which prompt tells what the model knows by the instructions alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from measure.factories import LABELS, examples, variant
from report.decisions import language
from trimtab.language import domain_language, knowledge_needed, language_need
from trimtab.store.files import append
from trimtab.task.spec import Budget
from trimtab.types import Adapter, Completion, Prompt, Record, Scored

ROWS = examples(20)


@pytest.fixture
def session(tmp_path):
    task = SimpleNamespace(metric="accuracy", output=LABELS, seed=0, budget=Budget(minutes=10))
    split = SimpleNamespace(train=ROWS[10:], dev=ROWS[:10])
    run = SimpleNamespace(records_path=lambda name, split: tmp_path / f"{name}-{split}.jsonl")
    opened = SimpleNamespace(task=task, split=split, clusters={})
    return SimpleNamespace(opened=opened, run=run, tuner=object())


def answered(session, tried, score: float):
    """The variant, with this score on all dev rows."""
    said = Completion(text="person", finish="stop", tokens_in=1, tokens_out=1)
    outcome = Scored(metrics={"accuracy": score}, valid=True, parsed="person")
    records = [
        Record(variant=tried.id, example=row.id, completion=said, outcome=outcome) for row in ROWS
    ]
    append(session.run.records_path(tried.id, "dev"), records)
    return tried


def test_the_constrained_prompt_tells_what_the_model_knows(session) -> None:
    shown = Prompt(system="Decide.", demonstrations=tuple(ROWS[10:12]))
    tried = [
        answered(session, variant("shown", prompt=shown, constrained=True), 0.9),
        answered(session, variant("free"), 0.0),
        answered(session, variant("thinks", constrained=True, reason=True), 0.8),
        answered(session, variant("constrained", constrained=True), 1.0),
    ]
    found = knowledge_needed(session, tried)
    assert found.closed_book.estimate == 1.0
    assert found.closed_book.n == 10, "dev rows only"
    assert knowledge_needed(session, tried[:3]).closed_book.estimate == 0.0
    assert knowledge_needed(session, tried[:1]).closed_book is None


def test_what_an_earlier_sitting_read_is_not_read_again(session, tmp_path) -> None:
    adapter = Adapter(path="a", sha256="a", rows=8, epoch=1, learning_rate=1e-3, seed=0)
    tuned = variant("tuned", adapter=adapter).model_copy(update={"arm": "fine-tune"})
    assert language_need(session, [tuned]).seconds == 18
    session.run.folder = tmp_path
    (tmp_path / "language.json").write_text(language().model_dump_json())
    assert domain_language(session, [tuned]) == language()


def test_reading_needs_a_fine_tune_that_was_trained_here(session) -> None:
    assert language_need(session, [variant()]) is None
    session.tuner = None
    assert language_need(session, [variant()]) is None
