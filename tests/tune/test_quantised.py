"""A 4-bit base trains a plain adapter, and is gone afterwards. Needs bitsandbytes."""

from __future__ import annotations

import sys

import pytest
import torch

from trimtab.errors import ModelError
from trimtab.tune.lora import TrainSettings, train
from trimtab.tune.loss import mean_loss
from trimtab.tune.quantised import four_bit

from .rows import row

ROWS = [row(4 + number % 9, number) for number in range(16)]
SETTINGS = TrainSettings(learning_rate=5e-3, epochs=3, batch_size=4, rank=4, four_bit=True)


def test_without_bitsandbytes_it_says_what_to_install(tiny_engine, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "bitsandbytes.nn", None)
    with pytest.raises(ModelError, match=r"trimtab\[qlora\]"):
        next(train(tiny_engine, ROWS, ROWS, SETTINGS, tmp_path / "a", lambda tokens: None))


def test_the_base_is_in_4_bits_inside_and_as_it_was_after(tiny_engine) -> None:
    pytest.importorskip("bitsandbytes")
    model = tiny_engine.loaded.model
    before = {name: p.clone() for name, p in model.state_dict().items()}
    exact = mean_loss(model, ROWS)
    with four_bit(model):
        packed = model.base_model.layers[0].mlp.up_proj.weight
        assert packed.dtype == torch.uint8
        assert packed.numel() == before["model.layers.0.mlp.up_proj.weight"].numel() / 2
        assert type(model.get_output_embeddings()) is torch.nn.Linear
        rounded = mean_loss(model, ROWS)
    assert rounded != exact
    assert rounded == pytest.approx(exact, rel=0.2)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_its_adapter_serves_on_the_engines_own_weights(tiny_engine, tmp_path) -> None:
    pytest.importorskip("bitsandbytes")
    before = mean_loss(tiny_engine.loaded.model, ROWS)
    *_, last = train(tiny_engine, ROWS, ROWS, SETTINGS, tmp_path / "a", lambda tokens: None)
    tiny_engine.adapters.use(str(last.adapter))
    served = mean_loss(tiny_engine.loaded.model, ROWS)
    assert served < before - 0.5
    assert served == pytest.approx(last.dev_loss, rel=0.2)
