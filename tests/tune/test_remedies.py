"""Scaled copies change the model by their factor; retraining mixes in what the base would say."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trimtab.prompt.variants import tuned
from trimtab.task.spec import Task
from trimtab.tune import remedies as remedies_module
from trimtab.tune.lora import train
from trimtab.tune.remedies import RECIPES, Recipe, replay_rows, retrained, scaled
from trimtab.tune.retention.answer import divergence
from trimtab.tune.retention.suite import load_replay
from trimtab.tune.rows import encode
from trimtab.types import (
    ADAPTER_FILE,
    Adapter,
    Completion,
    Example,
    OutputContract,
    Prompt,
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
    assert (adapter.made, smaller.made) == ("size", "remedy")
    assert scaled(adapter, tmp_path, 0.5) == smaller
    assert scaled(adapter, tmp_path, 0.75).sha256 != smaller.sha256


LONGER = Prompt(system="Say whose name it is. A title means a person.")


def remedied(engine, adapter, folder, recipe, task=TASK):
    best = tuned(task, engine.model_id, adapter, 8, LONGER)
    rows, dev, adapters = EXAMPLES[:8], EXAMPLES[8:], folder / "adapters"
    return retrained(engine, task, rows, dev, best, recipe, adapters, lambda tokens: None)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_each_recipe_trains_on_the_same_rows(
    tiny_engine, adapter, tmp_path, monkeypatch, recipe
) -> None:
    noted = {}

    def noting(engine, rows, dev, settings, folder, on_tokens, anchor):
        noted.update(rows=rows, settings=settings, anchor=anchor)
        return train(engine, rows, dev, settings, folder, on_tokens, anchor=anchor)

    monkeypatch.setattr(remedies_module, "train", noting)
    asked = []
    replayed = encode(tiny_engine.template, Prompt(system=""), EXAMPLES[:1])
    monkeypatch.setattr(
        remedies_module,
        "replay_rows",
        lambda engine, count: asked.append(count) or replayed[:count],
    )
    made = remedied(tiny_engine, adapter, tmp_path, recipe)
    assert (made.adapter.rows, made.adapter.made) == (8, "remedy")
    assert made.prompt == LONGER, "under the prompt that it was trained on"
    assert noted["rows"][:8] == encode(tiny_engine.template, LONGER, EXAMPLES[:8])
    assert noted["settings"].learning_rate == pytest.approx(4e-3 * recipe.rate)
    assert noted["settings"].rank == max(1, round(8 * recipe.rank))
    assert noted["rows"][8:] == (replayed if recipe.replay else [])
    assert (noted["anchor"].rows if noted["anchor"] else None) == (replayed if recipe.kl else None)
    # Replay: a tenth of 8 rows. KL: a prompt for each of 2 epochs' 2 steps.
    assert max(asked) == (1 if recipe.replay else 4 if recipe.kl else 0)
    told = " (12% of the rows)" if recipe.replay else " (1 prompts)" if recipe.kl else ""
    assert made.name == f"fine-tune on 8 rows, searched instructions, {recipe.name}{told}"
    config = json.loads((tmp_path / made.adapter.path / "adapter_config.json").read_text())
    assert config["r"] == noted["settings"].rank


def test_replayed_rows_are_the_bases_own_answers_and_no_end_that_was_cut(
    tiny_engine, monkeypatch
) -> None:
    prompts = load_replay()[:4]
    said = [("Yes.", "stop"), ("Trees are", "length"), (" ", "stop"), ("2, 3", "stop")]
    heard = []

    def generate(requests):
        heard.extend(requests)
        for i, (text, finish) in enumerate(said):
            yield i, Completion(text=text, finish=finish, tokens_in=1, tokens_out=1)

    monkeypatch.setattr(tiny_engine, "generate", generate)
    found = replay_rows(tiny_engine, 4)
    assert [request.messages[0].content for request in heard] == prompts
    assert {(request.adapter, request.decoding.temperature) for request in heard} == {(None, 0.0)}
    answered = [0, 1, 3]  # an empty answer says nothing
    stop = tiny_engine.loaded.tokenizer.eos_token_id
    for i, row in zip([*answered, 0], found, strict=True):
        text, finish = said[i]
        assert row.prompt == tiny_engine.template.prompt(heard[i].messages)
        assert tiny_engine.template.text(row.answer) == text
        assert (row.answer[-1] == stop) == (finish == "stop")


def test_general_prompts_come_again_where_more_rows_are_wanted(tiny_engine, monkeypatch) -> None:
    monkeypatch.setattr(remedies_module, "load_replay", lambda: load_replay()[:3])
    few, many = replay_rows(tiny_engine, 3), replay_rows(tiny_engine, 8)
    assert 0 < len(few) <= 3
    assert len(many) == 8
    assert many[: len(few)] == few
    assert {tuple(row.prompt) for row in many} == {tuple(row.prompt) for row in few}


def test_recipes_change_one_thing_each() -> None:
    plain = Recipe(name="")
    fields = ("replay", "kl", "rate", "rank")
    changed = [
        [name for name in fields if getattr(recipe, name) != getattr(plain, name)]
        for recipe in RECIPES
    ]
    assert changed == [["replay"], ["kl"], ["rate"], ["rank"]]


def test_the_share_of_general_prompts_is_five_to_ten_in_a_hundred() -> None:
    assert all(0.05 <= recipe.replay <= 0.1 for recipe in RECIPES if recipe.replay)


def test_a_kl_term_keeps_the_model_nearer_to_its_base(tiny_engine, adapter, tmp_path) -> None:
    general = replay_rows(tiny_engine, 4)  # those that the steps take
    moved = {}
    for weight in (0.0, 1.0, 10.0):
        recipe = Recipe(name=f"weight {weight}", kl=weight)
        made = remedied(tiny_engine, adapter, tmp_path, recipe)
        moved[weight] = divergence(tiny_engine, general, str(tmp_path / made.adapter.path))
    assert moved[10.0] < moved[1.0] < moved[0.0]


def test_a_remedy_that_was_cut_ends_as_if_it_were_not(tiny_engine, adapter, tmp_path) -> None:
    recipe = next(each for each in RECIPES if each.kl)
    whole = remedied(tiny_engine, adapter, tmp_path, recipe)
    weights = load_file(tmp_path / whole.adapter.path / ADAPTER_FILE)
    shutil.rmtree(tmp_path / Path(whole.adapter.path).parent)
    best = tuned(TASK, tiny_engine.model_id, adapter, 8, LONGER)
    done = []

    def killed(tokens: int) -> None:
        done.append(tokens)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrained(
            tiny_engine,
            TASK,
            EXAMPLES[:8],
            EXAMPLES[8:],
            best,
            recipe,
            tmp_path / "adapters",
            killed,
        )
    again = load_file(
        tmp_path / remedied(tiny_engine, adapter, tmp_path, recipe).adapter.path / ADAPTER_FILE
    )
    assert all(torch.equal(weights[name], again[name]) for name in weights)
