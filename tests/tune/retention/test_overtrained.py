"""On the real model: an adapter that was trained too hard is caught, and a scaled copy mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from decisions import rows
from trimtab.compare.retention import Pair, retained, retention_status
from trimtab.store.files import sha256_of
from trimtab.tune.lora import TrainSettings, train
from trimtab.tune.remedies import scaled
from trimtab.tune.retention.answer import answer
from trimtab.tune.retention.suite import Ask, load_suite
from trimtab.tune.rows import encode
from trimtab.types import ADAPTER_FILE, Adapter, Example, Prompt

MARGIN = 0.1
"""Twice the default: half of the items, whose interval is wider."""
PROMPT = Prompt(system="Decide whose name it is.")
FEW = [
    Example(id=str(i), input=row["input"], target=row["output"]) for i, row in enumerate(rows(16))
]


def status(base, tuned) -> str:
    pairs = [Pair(b.section, b.score, t.score) for b, t in zip(base, tuned, strict=True)]
    overall, parts = retained(pairs, MARGIN)
    return retention_status(overall, parts, 0, len(pairs))


@pytest.mark.slow
def test_overtraining_is_caught_and_a_scaled_adapter_mends_it(real_engine, tmp_path: Path) -> None:
    """On the items that are judged by likelihood alone, which take seconds."""
    items = [item for item in load_suite().items if not isinstance(item, Ask)]
    few = encode(real_engine.template, PROMPT, FEW)
    settings = TrainSettings(learning_rate=4e-3, epochs=10, batch_size=4)
    *_, last = train(
        real_engine, few, few[:1], settings, tmp_path / "adapters" / "a", lambda tokens: None
    )
    adapter = Adapter(
        path=str(last.adapter.relative_to(tmp_path)),
        sha256=sha256_of(last.adapter / ADAPTER_FILE),
        rows=len(FEW),
        epoch=last.number,
        learning_rate=settings.learning_rate,
        seed=0,
    )
    base = answer(real_engine, items, None)
    tuned = answer(real_engine, items, str(last.adapter))
    assert status(base, tuned) == "fail"
    milder = scaled(adapter, tmp_path, 0.25)
    assert status(base, answer(real_engine, items, str(tmp_path / milder.path))) == "pass"
