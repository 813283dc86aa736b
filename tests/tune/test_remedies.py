"""Scaled copies change the model by their factor; retraining mixes in what the base would say."""

from __future__ import annotations

import json

import pytest
import torch

from trimtab.task.spec import Task
from trimtab.tune import remedies as remedies_module
from trimtab.tune.lora import train
from trimtab.tune.remedies import RECIPES, Recipe, replay_rows, retrained, scaled
from trimtab.tune.retention.suite import load_replay
from trimtab.tune.rows import encode
from trimtab.types import (
    Adapter,
    Decoding,
    Example,
    Message,
    OutputContract,
    Prompt,
    Request,
)

EXAMPLES = [Example(id=str(i), input=f"Name {i}", target="person") for i in range(12)]
TASK = Task(
    name="names",
    instructions="Decide whose name it is.",
    data={"path": "rows.jsonl"},
    output=OutputContract(kind="label", labels=("person", "company")),
    metric="accuracy",
    goals={"quality": 0.9},
    search={"epochs": 2, "rank": 8, "batch_size": 4},
)


@pytest.fixture
def adapter(tiny_adapter, tmp_path) -> Adapter:
    """The tiny adapter as one of the run in `tmp_path`."""
    (tmp_path / "adapters").mkdir()
    (tmp_path / "adapters" / "a").symlink_to(tiny_adapter)
    return Adapter(path="adapters/a", sha256="0" * 64, rows=8, epoch=1, learning_rate=4e-3, seed=0)


def change(engine, folder) -> torch.Tensor:
    """What the adapter in `folder` adds to one layer."""
    module = engine.loaded.model.get_submodule("model.layers.0.self_attn.q_proj")
    engine.adapters.use(None)
    base = module.weight.detach().clone()
    engine.adapters.use(str(folder))
    added = module.weight.detach() - base
    engine.adapters.use(None)
    return added


def test_a_scaled_copy_changes_the_model_by_its_factor(tiny_engine, adapter, tmp_path) -> None:
    smaller = scaled(adapter, tmp_path, 0.25)
    whole, part = (change(tiny_engine, tmp_path / each.path) for each in (adapter, smaller))
    assert whole.abs().max() > 0
    assert torch.allclose(part, whole / 4, atol=1e-6)


def test_a_scaled_copy_is_another_adapter_with_the_same_origin(adapter, tmp_path) -> None:
    smaller = scaled(adapter, tmp_path, 0.5)
    assert smaller.sha256 != adapter.sha256
    assert smaller.rows == adapter.rows
    assert scaled(adapter, tmp_path, 0.5) == smaller
    assert scaled(adapter, tmp_path, 0.75).sha256 != smaller.sha256


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_each_recipe_trains_on_the_same_rows(
    tiny_engine, adapter, tmp_path, monkeypatch, recipe
) -> None:
    noted = {}

    def noting(engine, rows, dev, settings, folder, on_tokens):
        noted.update(rows=rows, settings=settings)
        return train(engine, rows, dev, settings, folder, on_tokens)

    monkeypatch.setattr(remedies_module, "train", noting)
    asked = []
    replayed = encode(tiny_engine.template, Prompt(system=""), EXAMPLES[:1])
    monkeypatch.setattr(
        remedies_module, "replay_rows", lambda engine, count: asked.append(count) or replayed
    )
    made = retrained(
        tiny_engine,
        TASK,
        EXAMPLES[:8],
        EXAMPLES[8:],
        adapter,
        recipe,
        tmp_path / "adapters",
        lambda tokens: None,
    )
    assert made.rows == 8
    assert noted["settings"].learning_rate == pytest.approx(4e-3 * recipe.rate)
    assert noted["settings"].rank == max(1, round(8 * recipe.rank))
    assert [row.example for row in noted["rows"][:8]] == [each.id for each in EXAMPLES[:8]]
    assert noted["rows"][8:] == replayed
    assert asked == [round(8 * recipe.replay)]
    config = json.loads((tmp_path / made.path / "adapter_config.json").read_text())
    assert config["r"] == noted["settings"].rank


def test_replayed_rows_are_the_bases_own_finished_answers(tiny_engine, monkeypatch) -> None:
    prompts = load_replay()[:6]
    requests = [
        Request(
            messages=(Message(role="user", content=text),),
            decoding=Decoding(max_tokens=remedies_module._REPLAY_TOKENS),
        )
        for text in prompts
    ]
    answers = dict(tiny_engine.generate(requests))
    finished = [i for i in range(6) if answers[i].finish == "stop" and answers[i].text.strip()]
    found = replay_rows(tiny_engine, 6)
    assert len(found) == len(finished)
    for i, row in zip(finished, found, strict=True):
        assert tiny_engine.template.text(row.answer) == answers[i].text
        assert row.prompt == tiny_engine.template.prompt(requests[i].messages)


def test_recipes_change_one_thing_each() -> None:
    plain = Recipe(name="")
    for recipe in RECIPES:
        changed = [n for n in ("replay", "rate", "rank") if getattr(recipe, n) != getattr(plain, n)]
        assert len(changed) == 1
