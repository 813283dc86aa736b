"""What a variant's answers are worth: dev has money where tokens have a price."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from measure.factories import PRICES, bench, close, examples, task, variant
from trimtab.engine.fake import FakeEngine
from trimtab.scores import score_of
from trimtab.task.spec import ModelSpec


@pytest.mark.parametrize(
    ("spec", "known"),
    [
        (ModelSpec(engine="fake", prices=PRICES), True),
        (ModelSpec(engine="fake", machine_per_hour=1.0), False),
        (ModelSpec(engine="fake"), False),
    ],
    ids=["by tokens", "by the hour", "no price"],
)
def test_dev_has_money_where_tokens_have_a_price(tmp_path, spec, known) -> None:
    rows, asked = examples(6), variant()
    sitting = bench(tmp_path, FakeEngine())
    try:
        records = sitting.records(asked, "dev", rows)
        priced = replace(sitting, spec=spec)
        opened = SimpleNamespace(
            task=task(),
            clusters={row.id: row.id for row in rows},
            split=SimpleNamespace(dev=rows),
        )
        session = SimpleNamespace(opened=opened, benches={"prompt": priced})
        score = score_of(session, asked, "dev", records)
    finally:
        close(sitting)
    tokens = (score.tokens_in, score.tokens_cached, score.tokens_out)
    assert score.money_per_1000 == (pytest.approx(1000 * PRICES.of(*tokens)) if known else None)
