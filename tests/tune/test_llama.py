"""The written-out pass gives the loss and gradients of the model's own modules."""

from __future__ import annotations

import pytest
import torch

from tiny import load_in_float32
from trimtab.tune import loss as loss_module
from trimtab.tune.llama import fits
from trimtab.tune.lora import TrainSettings, lora, train, trainable
from trimtab.tune.loss import answer_losses, padded_losses
from trimtab.tune.rows import TrainingRow

from .rows import row

SETTINGS = TrainSettings(learning_rate=5e-3, epochs=2, rank=4)
BEGINNING = [5, 6, 7, 8]
ALIKE = [
    TrainingRow(BEGINNING + each.prompt, each.answer * (1 + number))
    for number, each in enumerate(row(length, length) for length in (3, 1, 20, 9))
]


def loss_and_gradients(model, compute, rows):
    with lora(model, SETTINGS) as peft_model:
        parameters = trainable(peft_model)
        generator = torch.Generator().manual_seed(0)
        for name, parameter in parameters.items():
            if "lora_B" in name:  # begins at zero, where lora_A has no gradient
                torch.nn.init.normal_(parameter, std=0.05, generator=generator)
        assert fits(model)
        loss = compute(model, rows).mean()
        loss.backward()
        gradients = {name: p.grad for name, p in parameters.items()}
    return loss.item(), gradients


@pytest.mark.parametrize(
    "rows",
    [ALIKE, ALIKE[:1], [row(6, 1), row(6, 2)], [row(n, n) for n in (30, 1, 7)], [ALIKE[0]] * 3],
    ids=["begin alike", "one row", "equal lengths", "nothing shared", "the same row"],
)
def test_packed_is_padded(tiny_engine, rows) -> None:
    model = tiny_engine.loaded.model
    packed, gradients = loss_and_gradients(model, answer_losses, rows)
    padded, expected = loss_and_gradients(model, padded_losses, rows)
    assert packed == pytest.approx(padded, rel=1e-5)
    assert gradients.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient.abs().max() > 0, name
        error = (gradients[name] - gradient).abs().max() / gradient.abs().max()
        assert error < 1e-4, name


def test_long_rows_go_through_the_models_own_attention(tiny_engine, monkeypatch) -> None:
    model = tiny_engine.loaded.model
    packed, gradients = loss_and_gradients(model, answer_losses, ALIKE)
    monkeypatch.setattr(loss_module, "_LONGEST_PACKED", 10)
    monkeypatch.setattr(loss_module, "pack", None)  # must not be called
    long, expected = loss_and_gradients(model, answer_losses, ALIKE)
    assert packed == pytest.approx(long, rel=1e-5)
    assert all(torch.allclose(gradients[name], expected[name], atol=1e-5) for name in expected)


def test_only_what_it_computes_fits(tiny_engine) -> None:
    model = tiny_engine.loaded.model
    assert not fits(model), "without an adapter there is nothing to train"
    with lora(model, SETTINGS):
        assert fits(model)
        model.config.hidden_act = "gelu"
        assert not fits(model)
        model.config.hidden_act = "silu"
        model.base_model.layers[1].mlp.up_proj.base_layer.bfloat16()
        assert not fits(model)


@pytest.fixture
def biased_engine(tiny_model, tmp_path):
    """The tiny model's shape with biases on queries, keys and values."""
    from transformers import AutoConfig, AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    llama = AutoConfig.from_pretrained(tiny_model).to_dict()
    shape = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")
    heads = ("num_attention_heads", "num_key_value_heads", "tie_word_embeddings")
    config = Qwen2Config(**{name: llama[name] for name in (*shape, *heads, "eos_token_id")})
    folder = tmp_path / "biased"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        Qwen2ForCausalLM(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
    return load_in_float32(folder)


def test_a_model_of_another_shape_trains_through_its_modules(biased_engine, tmp_path) -> None:
    with lora(biased_engine.loaded.model, SETTINGS):
        assert not fits(biased_engine.loaded.model)
    epochs = list(train(biased_engine, ALIKE, ALIKE, SETTINGS, tmp_path / "a", lambda tokens: None))
    assert epochs[0].train_loss > epochs[1].train_loss
