"""A model in memory behind the server: batches of mixed variants, adapters switched in between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from decisions import both_arms, rows, write_task
from trimtab import pipeline
from trimtab.predictor import load
from trimtab.store.database import Database

from .servers import promote, running


@pytest.fixture(scope="module")
def tuned(tiny_model, tmp_path_factory):
    """A finished run of both arms on the tiny model."""
    import torch

    from trimtab.engine.local import weights

    root = tmp_path_factory.mktemp("tuned")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIMTAB_CACHE", str(root / "cache"))
        patch.setattr(weights, "fastest_dtype", lambda device: torch.float32)
        return root / "task", pipeline.decide(write_task(root / "task", **both_arms(tiny_model)))


def test_both_arms_answer_as_they_were_measured_side_by_side(tuned, url, in_float32) -> None:
    folder, decided = tuned
    arms = [decided.decision.prompt.variant, decided.decision.fine_tune.variant]
    promote(folder, url, arms[0])
    promote(folder, url, arms[1], "canary", 0.5)
    texts = [row["input"] for row in rows()][:40]
    right = {}
    for arm in arms:
        predictions = load(decided.folder, variant_id=arm).predict_many(texts)
        right |= {(arm, p.input): p.text for p in predictions}
    with running(folder, url) as server, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(server.chat, texts))
        assert len(server.loader._engines) == 1, "both arms run on one model in memory"
    met = set()
    for text, answer in zip(texts, answers, strict=True):
        variant = answer.headers["x-trimtab-variant"]
        met.add(variant)
        assert answer.json()["choices"][0]["message"]["content"] == right[variant, text]
    assert met == set(arms)
    database = Database(url)
    assert database.query("SELECT COUNT(*) FROM traces") == [(40,)]
    database.close()
