"""On the real model: an adapter that was trained far too hard is caught, and a remedy mends it."""

from __future__ import annotations

from pathlib import Path

import pytest

from decisions import both_arms, rows, write_rows, write_task
from trimtab import pipeline
from trimtab.measure import retain
from trimtab.measure.meter import Silent
from trimtab.measure.session import Session, open_session
from trimtab.prompt.variants import tuned
from trimtab.retention import keep_general_ability
from trimtab.steps import Candidates, _score_on_dev
from trimtab.store.files import sha256_of
from trimtab.task.open import open_task
from trimtab.tune.lora import TrainSettings, train
from trimtab.tune.retention.suite import Ask, Suite, load_suite
from trimtab.tune.rows import encode
from trimtab.types import ADAPTER_FILE, Adapter, Retention, Variant

RATE, EPOCHS, ROWS = 3e-3, 6, 64
MARGIN = 0.1
"""Twice the default: half of the items, whose interval is wider."""
LIKELIHOOD = tuple(item for item in load_suite().items if not isinstance(item, Ask))
"""Half of the suite, which takes seconds: knowledge and passages."""


def overtrained(session: Session) -> Variant:
    """Six epochs over 64 rows, at several times the rate that suits them, to the last."""
    opened, engine = session.opened, session.tuner
    variant = tuned(opened.task, engine.model_id, ADAPTER, session.plan.max_tokens)
    few = encode(engine.template, variant.prompt, opened.split.train[:ROWS])
    settings = TrainSettings(learning_rate=RATE, epochs=EPOCHS, batch_size=4)
    folder = session.run.adapters_path / "overtrained"
    *_, last = train(engine, few, few[:1], settings, folder, lambda tokens: None)
    adapter = ADAPTER.model_copy(
        update={
            "path": str(last.adapter.relative_to(session.run.folder)),
            "sha256": sha256_of(last.adapter / ADAPTER_FILE),
        }
    )
    return variant.model_copy(update={"adapter": adapter})


ADAPTER = Adapter(path="", sha256="", rows=ROWS, epoch=EPOCHS, learning_rate=RATE, seed=0)


def mended(model: Path, folder: Path) -> tuple[Retention, float]:
    """What `keep_general_ability` makes of it, and the smallest difference that matters."""
    settings = both_arms(model)
    settings["search"] |= {"epochs": EPOCHS}
    settings["data"] = {"path": "rows.jsonl", "approved_by": "a test", "dev": 40}
    folder.mkdir()
    write_rows(folder / "rows.jsonl", rows(140))
    needed = {"general_ability": "needed", "retention_margin": MARGIN}
    path = write_task(folder, constraints=needed, **settings)
    opened = open_task(path)
    run, _ = pipeline._open_run(opened, fresh=False)
    candidates = Candidates()
    with run, open_session(opened, run, Silent()) as session:
        best = overtrained(session)
        kept = keep_general_ability(session, best, lambda v: _score_on_dev(session, v, candidates))
    assert kept is not None
    return kept.retention, opened.task.goals.smallest_difference


@pytest.mark.slow
def test_overtraining_is_caught_and_a_remedy_keeps_the_score(
    real_model: Path, tmp_path: Path, monkeypatch
) -> None:
    suite = Suite(LIKELIHOOD, complete=True)
    monkeypatch.setattr(retain, "load_suite", lambda own, quick: suite)
    found, matters = mended(real_model, tmp_path / "task")
    lost, *_ = found.trade_offs
    (kept,) = [point for point in found.trade_offs if point.variant == found.variant]
    assert lost.dev_quality.estimate > 0.8, "there is a score to keep"
    assert lost.status == "fail"
    assert lost.difference.high < -0.05, "by the default margin too"
    assert (found.status, kept.status) == ("pass", "pass")
    assert kept.dev_quality.estimate > lost.dev_quality.estimate - matters
