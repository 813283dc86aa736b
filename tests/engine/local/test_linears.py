"""Packed weights give the products of the weights as they are."""

from __future__ import annotations

import pytest
import torch

from trimtab.engine.local import linears
from trimtab.engine.local.linears import Linears, packing_pays

FBGEMM = "fbgemm" in torch.backends.quantized.supported_engines
needs_fbgemm = pytest.mark.skipif(not FBGEMM, reason="this build of torch has no FBGEMM")


def model(exact: bool = True) -> torch.nn.Sequential:
    torch.manual_seed(0)
    layers = torch.nn.Sequential(
        torch.nn.Linear(64, 96, bias=False), torch.nn.Linear(96, 32, False)
    )
    for layer in layers:
        weight = layer.weight.detach()
        layer.weight = torch.nn.Parameter(weight.bfloat16().float() if exact else weight / 3)
    return layers.requires_grad_(False)


@needs_fbgemm
@pytest.mark.parametrize("rows", [1, 3, 70])
def test_packed_products_are_those_of_float32(rows) -> None:
    layers = model()
    packed = Linears(layers, packed=True)
    packed.prepare()
    assert packed._packed
    x = torch.randn(2, rows, 64)
    plain = layers[0](x)
    assert torch.allclose(packed(layers[0], x), plain, atol=1e-5)


@needs_fbgemm
def test_changed_weights_are_packed_anew() -> None:
    layers = model()
    packed = Linears(layers, packed=True)
    packed.prepare()
    x = torch.randn(5, 64)
    layers[0].weight.data = layers[0].weight.data * 2
    packed.outdate()
    packed.prepare()
    assert torch.allclose(packed(layers[0], x), layers[0](x), atol=1e-5)


@needs_fbgemm
def test_the_weights_of_several_adapters_are_kept_as_long_as_they_are_wanted() -> None:
    layers = model()
    packed = Linears(layers, packed=True)
    packed.keep(2)
    x = torch.randn(5, 64)
    found = {}
    for adapter in ("a", "b", None):
        layers[0].weight.data = layers[0].weight.data * 2
        packed.outdate()
        packed.prepare(adapter)
        found[adapter] = packed(layers[0], x)
    assert not packed.select("a"), "two sets are kept"
    for adapter in ("b", None, "b"):
        assert packed.select(adapter)
        assert torch.equal(packed(layers[0], x), found[adapter])


def test_unpacked_layers_are_applied_as_they_are() -> None:
    layers = model(exact=False)
    plain = Linears(layers, packed=False)
    plain.prepare()
    x = torch.randn(5, 64)
    assert torch.equal(plain(layers[0], x), layers[0](x))


def test_weights_that_half_precision_would_change_are_not_packed() -> None:
    assert not packing_pays(model(exact=False))
    assert not packing_pays(model().to(torch.bfloat16))


def test_overflowing_weights_are_not_packed() -> None:
    layers = model()
    layers[0].weight.data[0, 0] = 1e6
    assert not packing_pays(layers)


@needs_fbgemm
@pytest.mark.parametrize("kept", [None, "torn {", '["no", "table"]'])
def test_a_busy_moment_does_not_change_the_choice(private_cache, monkeypatch, kept) -> None:
    if kept is not None:
        private_cache.mkdir()
        (private_cache / "precision.json").write_text(kept)
    for first, later in ((2.0, 0.5), (0.5, 2.0)):
        monkeypatch.setattr(torch, "__version__", f"{first}")  # another torch is measured anew
        monkeypatch.setattr(linears, "_speed_up", lambda found=first: found)
        chosen = packing_pays(model())
        assert chosen is (first > 1)
        monkeypatch.setattr(linears, "_speed_up", lambda found=later: found)
        assert packing_pays(model()) is chosen
