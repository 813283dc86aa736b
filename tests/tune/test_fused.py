"""Each hand-written step computes what plain torch does, and its gradients are those of that."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from trimtab.tune.fused import (
    Heads,
    Linear,
    add_gated_linear,
    add_linear,
    attention,
    normed_linears,
    rotate,
    token_losses,
)
from trimtab.tune.packing import pack

from .rows import row

HEADS = Heads(queries=4, keys=2, size=6, scaling=0.3)


@pytest.fixture
def random():
    """Tensors in float64: gradients can be checked against differences."""
    generator = torch.Generator().manual_seed(0)

    def make(*shape: int, grad: bool = True) -> torch.Tensor:
        made = torch.randn(*shape, generator=generator, dtype=torch.float64)
        return made.requires_grad_(grad)

    return make


def linear(random, out: int, width: int, rank: int = 3) -> Linear:
    return Linear(random(out, width, grad=False), random(rank, width), random(out, rank), 0.7)


def plain(x: torch.Tensor, each: Linear) -> torch.Tensor:
    return x @ each.weight.T + x @ each.down.T @ each.up.T * each.scale


def check(ours, reference, *inputs: torch.Tensor) -> None:
    """Same values, and the same gradients for all inputs under random output gradients."""
    a, b = ours(), reference()
    torch.testing.assert_close(a, b)
    weights = torch.randn(a.shape, dtype=a.dtype, generator=torch.Generator().manual_seed(1))
    ours_grads, reference_grads = (
        torch.autograd.grad((each * weights).sum(), inputs) for each in (a, b)
    )
    for mine, expected in zip(ours_grads, reference_grads, strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(mine, expected)


def test_normed_linears(random) -> None:
    x, norm = random(7, 10), random(10, grad=False)
    linears = [linear(random, 6, 10), linear(random, 4, 10, rank=2), linear(random, 4, 10)]
    lora = [tensor for each in linears for tensor in (each.down, each.up)]

    def reference() -> torch.Tensor:
        normed = functional.rms_norm(x, (10,), norm, eps=1e-3)
        return torch.cat([plain(normed, each) for each in linears], dim=1)

    check(lambda: normed_linears(x, norm, 1e-3, linears), reference, x, *lora)


def test_the_first_layers_input_needs_no_gradient(random) -> None:
    x, norm = random(7, 10, grad=False), random(10, grad=False)
    linears = [linear(random, 6, 10)]
    normed_linears(x, norm, 1e-3, linears).sum().backward()
    assert linears[0].down.grad is not None
    assert x.grad is None


def test_add_linear(random) -> None:
    residual, x, each = random(7, 5), random(7, 10), linear(random, 5, 10)
    check(
        lambda: add_linear(residual, x, each),
        lambda: residual + plain(x, each),
        residual,
        x,
        each.down,
        each.up,
    )


def test_add_gated_linear(random) -> None:
    residual, both, each = random(7, 5), random(7, 16), linear(random, 5, 8)
    check(
        lambda: add_gated_linear(residual, both, each),
        lambda: residual + plain(functional.silu(both[:, :8]) * both[:, 8:], each),
        residual,
        both,
        each.down,
        each.up,
    )


def test_rotate_turns_the_named_heads_only(random) -> None:
    x = random(5, 4 * 6)
    angles = random(5, 3, grad=False)
    cosine, sine = angles.cos(), angles.sin()

    def reference() -> torch.Tensor:
        from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

        heads = x.view(1, 5, 4, 6).transpose(1, 2)
        both = [torch.cat([each, each], dim=1)[None] for each in (cosine, sine)]
        turned, _ = apply_rotary_pos_emb(heads[:, :3], heads[:, 3:], *both)
        return torch.cat([turned, heads[:, 3:]], dim=1).transpose(1, 2).reshape(5, 24)

    check(lambda: rotate(x.clone(), cosine, sine, heads=3), reference, x)


@pytest.mark.parametrize("lengths", [(5,), (4, 4), (2, 9, 5)], ids=str)
@pytest.mark.parametrize("alike", [0, 3])
def test_attention_is_that_of_each_row_alone(random, lengths, alike) -> None:
    rows = [row(length, number) for number, length in enumerate(lengths, start=1)]
    for each in rows:
        each.prompt[:0] = [7] * alike
    packed = pack(rows, torch.device("cpu"))
    qkv = random(len(packed.ids), (4 + 2 + 2) * 6)

    def reference() -> torch.Tensor:
        out = torch.zeros(len(packed.ids), 24, dtype=qkv.dtype)
        for each, places in zip(rows, packed.rows.grid, strict=True):
            own = places[: len(each)]
            heads = qkv[own].view(len(each), 8, 6).transpose(0, 1)
            found = functional.scaled_dot_product_attention(
                heads[:4],
                heads[4:6].repeat_interleave(2, dim=0),
                heads[6:].repeat_interleave(2, dim=0),
                is_causal=True,
                scale=HEADS.scaling,
            )
            # The shared tokens' outputs are the same in each row, and count once.
            out = out.index_copy(0, own, found.transpose(0, 1).reshape(len(each), 24))
        return out

    check(lambda: attention(qkv, packed.rows, HEADS), reference, qkv)


def test_token_losses(random) -> None:
    hidden, vocabulary = random(300, 6), random(11, 6, grad=False)  # more rows than a chunk
    targets = torch.arange(300) % 11
    check(
        lambda: token_losses(hidden, vocabulary, targets),
        lambda: functional.cross_entropy(hidden @ vocabulary.T, targets, reduction="none"),
        hidden,
    )


def test_losses_of_hopeless_answers_stay_finite() -> None:
    hidden = torch.tensor([[300.0]], requires_grad=True)
    loss = token_losses(hidden, torch.tensor([[1.0], [-1.0]]), torch.tensor([1])).sum()
    loss.backward()
    assert loss.item() == pytest.approx(600)
    assert hidden.grad is not None
    assert hidden.grad.item() == pytest.approx(2)
