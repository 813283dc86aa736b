"""On the real model: an adapter that was trained too hard is caught, and loses less when scaled."""

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

MARGIN = 0.05
PROMPT = Prompt(system="Decide whose name it is.")
FEW = [
    Example(id=str(i), input=row["input"], target=row["output"]) for i, row in enumerate(rows(16))
]


def judged(base, tuned):
    """(status, difference over all items)."""
    pairs = [Pair(b.section, b.score, t.score) for b, t in zip(base, tuned, strict=True)]
    overall, parts = retained(pairs, MARGIN)
    return retention_status(overall, parts, 0, len(pairs)), overall.difference


@pytest.mark.model
def test_overtraining_is_caught_and_a_scaled_adapter_loses_less(
    real_engine, tmp_path: Path
) -> None:
    """On the items that are judged by likelihood alone, which take seconds."""
    items = [item for item in load_suite().items if not isinstance(item, Ask)]
    few = encode(real_engine.template, PROMPT, FEW)
    settings = TrainSettings(learning_rate=1e-2, epochs=4, batch_size=4)
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
    status, lost = judged(base, tuned)
    assert status == "fail"
    assert lost.high < -0.2
    milder = scaled(adapter, tmp_path, 0.25)
    _, less = judged(base, answer(real_engine, items, str(tmp_path / milder.path)))
    assert less.estimate > lost.estimate
