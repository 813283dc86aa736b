"""A model in memory behind the server: batches of mixed variants, adapters switched in between."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from decisions import both_arms, rows, write_task
from trimtab import pipeline
from trimtab.predictor import load
from trimtab.store.database import Database

from .servers import FIXED, decided_task, promote, running, wait_until


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


def test_free_text_is_streamed_from_each_variant_beside_a_shadow(
    tiny_model, url, tmp_path, in_float32
) -> None:
    folder = tmp_path / "task"
    models = both_arms(tiny_model)["models"] | {"tune": None}
    decision = decided_task(
        folder, output={"kind": "text"}, metric="normalized_exact", models=models
    )
    one, other = (v.id for v in decision.variants if v.name in FIXED)
    promote(folder, url, one)
    promote(folder, url, other, "canary", 0.5)
    promote(folder, url, decision.verdict.winner or decision.variants[0].id, "shadow")
    texts = [row["input"] for row in rows()][:20]
    right = {}
    for variant in (one, other):
        predictions = load(folder / "runs" / "latest", variant_id=variant).predict_many(texts)
        right |= {(variant, p.input): p.text for p in predictions}
    with running(folder, url) as server, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda text: server.chat(text, stream=True), texts))
        wait_until(lambda: len(server.traces()) == 40)
    met = set()
    for text, answer in zip(texts, answers, strict=True):
        variant = answer.headers["x-trimtab-variant"]
        met.add(variant)
        lines = answer.text.removesuffix("data: [DONE]\n\n").split("\n\n")[:-1]
        events = [json.loads(line.removeprefix("data: ")) for line in lines]
        pieces = [event["choices"][0]["delta"].get("content", "") for event in events]
        assert "".join(pieces) == right[variant, text]
        assert len([piece for piece in pieces if piece]) > 1
        assert events[-1]["trimtab"]["trace"]
    assert met == {one, other}
