"""Forward and backward of a Llama layer with LoRA, written out: little is kept, nothing cast.

Autograd through modules keeps some 20 intermediate tensors a layer and runs each adapter as its own
chain of modules. Here a layer keeps its two residual inputs, rotated queries/keys/values, the
attention's output, the two halves of the MLP and the rank-sized LoRA products; all else is cheap
elementwise work that backward does again. Frozen weights get no gradient. All tensors are float32;
T is the number of tokens, H the hidden size, r the rank.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from trimtab.tune.packing import Rows

_LOSS_ROWS = 256
"""Answer positions whose logits exist at one time: enough that reading the vocabulary's weights
costs little beside multiplying with them, and 50 MB for 49,152 tokens."""


@dataclass(frozen=True)
class Linear:
    """A frozen weight [out, in] with its LoRA pair: down [r, in], up [out, r]."""

    weight: torch.Tensor
    down: torch.Tensor
    up: torch.Tensor
    scale: float


def normed_linears(
    x: torch.Tensor, norm: torch.Tensor, epsilon: float, linears: Sequence[Linear]
) -> torch.Tensor:
    """[T, H] -> [T, sum of outs]: RMS norm, then several linear layers side by side."""
    downs, ups = [each.down for each in linears], [each.up for each in linears]
    return _apply(_NormedLinears, x, norm, epsilon, tuple(linears), *downs, *ups)


def add_linear(residual: torch.Tensor, x: torch.Tensor, linear: Linear) -> torch.Tensor:
    """residual + linear(x)."""
    return _apply(_AddLinear, residual, x, linear, linear.down, linear.up)


def add_gated_linear(
    residual: torch.Tensor, gate_and_up: torch.Tensor, linear: Linear
) -> torch.Tensor:
    """residual + linear(silu(gate) * up), with gate and up side by side in [T, 2 * in]."""
    return _apply(_AddGatedLinear, residual, gate_and_up, linear, linear.down, linear.up)


def rotate(qkv: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, heads: int) -> torch.Tensor:
    """Rotary positions on the first `heads` heads of [T, ...], in place; cosine, sine [T, size/2].

    Su et al., "RoFormer" (2021), with a head's halves as the pairs, as Llama does.
    """
    return _apply(_Rotate, qkv, cosine, sine, heads)


@dataclass(frozen=True)
class Heads:
    """Sizes of grouped-query attention; query head i reads key/value head i // (queries / keys)."""

    queries: int
    keys: int
    size: int
    scaling: float


def attention(qkv: torch.Tensor, rows: Rows, heads: Heads) -> torch.Tensor:
    """Causal attention within each row: [T, (queries + 2 * keys) * size] -> [T, queries * size].

    Backward computes the attention weights again: kept, they would grow with the square of a row.
    """
    return _apply(_Attention, qkv, rows, heads)


def token_losses(
    hidden: torch.Tensor, vocabulary: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    """[N] negative log-likelihood (nats) of each of `targets` [N], given [N, H] and [V, H].

    The gradient is made beside the loss, from the same few rows of logits.
    """
    return _apply(_TokenLosses, hidden, vocabulary, targets)


def _apply(function: Any, *arguments: Any) -> torch.Tensor:
    """`function.apply`, which torch leaves untyped."""
    result: torch.Tensor = function.apply(*arguments)
    return result


def _columns(linears: Sequence[Linear]) -> Iterator[tuple[Linear, slice, slice]]:
    """Each linear with its columns of the joint output and of the joint rank-sized product."""
    wide = low = 0
    for each in linears:
        out, rank = each.up.shape
        yield each, slice(wide, wide + out), slice(low, low + rank)
        wide, low = wide + out, low + rank


def _scaled_downs(linears: Sequence[Linear]) -> torch.Tensor:
    """[sum of ranks, in]. The adapter's scale lives here, so it is nowhere else."""
    return torch.cat([each.down * each.scale for each in linears])


def _unit(x: torch.Tensor, epsilon: float) -> tuple[torch.Tensor, torch.Tensor]:
    """`x` with root mean square 1 in each row, and the factors [T, 1] that made it so."""
    factors = x.square().mean(-1, keepdim=True).add_(epsilon).rsqrt_()
    return x * factors, factors


class _NormedLinears(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        norm: torch.Tensor,
        epsilon: float,
        linears: Sequence[Linear],
        *lora: torch.Tensor,
    ) -> torch.Tensor:
        normed = _unit(x, epsilon)[0].mul_(norm)
        low = normed @ _scaled_downs(linears).T
        out = x.new_empty(len(x), sum(len(each.up) for each in linears))
        for linear, wide, narrow in _columns(linears):
            torch.mm(normed, linear.weight.T, out=out[:, wide])
            out[:, wide].addmm_(low[:, narrow], linear.up.T)
        # The parameters are kept as saved tensors too: autograd then guards against changes.
        ctx.save_for_backward(x, norm, low, *lora)
        ctx.epsilon, ctx.linears = epsilon, linears
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        x, norm, low, *_ = ctx.saved_tensors
        linears = ctx.linears
        unit, factors = _unit(x, ctx.epsilon)
        grad_low = torch.empty_like(low)
        grad_ups = []
        for linear, wide, narrow in _columns(linears):
            torch.mm(grad[:, wide], linear.up, out=grad_low[:, narrow])
            grad_ups.append(grad[:, wide].T @ low[:, narrow])
        grad_down = grad_low.T @ (unit * norm)
        grad_downs = [grad_down[narrow] * each.scale for each, _, narrow in _columns(linears)]
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = grad_low @ _scaled_downs(linears)
            for linear, wide, _ in _columns(linears):
                grad_x.addmm_(grad[:, wide], linear.weight)
            grad_x.mul_(norm)
            along = (grad_x * unit).mean(-1, keepdim=True)
            grad_x.sub_(unit.mul_(along)).mul_(factors)
        return grad_x, None, None, None, *grad_downs, *grad_ups


class _AddLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        residual: torch.Tensor,
        x: torch.Tensor,
        linear: Linear,
        down: torch.Tensor,
        up: torch.Tensor,
    ) -> torch.Tensor:
        out, low = _add(residual, x, linear)
        ctx.save_for_backward(x, low, down, up)
        ctx.linear = linear
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        x, low, *_ = ctx.saved_tensors
        grad_x, grad_down, grad_up = _add_backward(grad, x, low, ctx.linear)
        return grad, grad_x, None, grad_down, grad_up


class _AddGatedLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        residual: torch.Tensor,
        gate_and_up: torch.Tensor,
        linear: Linear,
        down: torch.Tensor,
        up: torch.Tensor,
    ) -> torch.Tensor:
        gate, factor = gate_and_up.chunk(2, dim=-1)
        out, low = _add(residual, functional.silu(gate).mul_(factor), linear)
        ctx.save_for_backward(gate_and_up, low, down, up)
        ctx.linear = linear
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        gate_and_up, low, *_ = ctx.saved_tensors
        gate, factor = gate_and_up.chunk(2, dim=-1)
        opened = functional.silu(gate)
        grad_x, grad_down, grad_up = _add_backward(grad, opened * factor, low, ctx.linear)
        grads = torch.empty_like(gate_and_up)
        grad_gate, grad_factor = grads.chunk(2, dim=-1)
        torch.mul(grad_x, opened, out=grad_factor)
        torch.ops.aten.silu_backward.grad_input(grad_x.mul_(factor), gate, grad_input=grad_gate)
        return grad, grads, None, grad_down, grad_up


def _add(
    residual: torch.Tensor, x: torch.Tensor, linear: Linear
) -> tuple[torch.Tensor, torch.Tensor]:
    """(residual + linear(x), the rank-sized product)."""
    low = x @ _scaled_downs([linear]).T
    return torch.addmm(residual, x, linear.weight.T).addmm_(low, linear.up.T), low


def _add_backward(
    grad: torch.Tensor, x: torch.Tensor, low: torch.Tensor, linear: Linear
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of `x`, `down` and `up` of `_add`."""
    grad_low = grad @ linear.up
    grad_x = (grad @ linear.weight).addmm_(grad_low, _scaled_downs([linear]))
    return grad_x, (grad_low.T @ x).mul_(linear.scale), grad.T @ low


class _Rotate(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, qkv: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, heads: int
    ) -> torch.Tensor:
        ctx.mark_dirty(qkv)
        ctx.save_for_backward(cosine, sine)
        ctx.heads = heads
        return _rotate(qkv, cosine, sine, heads)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        cosine, sine = ctx.saved_tensors
        return _rotate(grad.clone(), cosine, -sine, ctx.heads), None, None, None


def _rotate(x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor, heads: int) -> torch.Tensor:
    half = cosine.shape[1]
    first, second = x[:, : 2 * half * heads].view(len(x), heads, 2, half).unbind(2)
    cosine, sine = cosine[:, None], sine[:, None]
    turned = (first * cosine).addcmul_(second, sine, value=-1)
    second.mul_(cosine).addcmul_(first, sine)
    first.copy_(turned)
    return x


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, qkv: torch.Tensor, rows: Rows, heads: Heads) -> torch.Tensor:
        ctx.save_for_backward(qkv)
        ctx.rows, ctx.heads = rows, heads
        query, key, value = _by_group(qkv[rows.grid], heads)
        found = _weights(query, key, heads) @ value
        return _by_token(found, rows, heads).flatten(0, 1)[rows.places]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        (qkv,) = ctx.saved_tensors
        rows, heads = ctx.rows, ctx.heads
        query, key, value = _by_group(qkv[rows.grid], heads)
        weights = _weights(query, key, heads)
        # Zero where nothing is read: behind a row's end, and at shared tokens but the first row's.
        spread = grad.new_zeros(rows.grid.numel(), grad.shape[1])
        spread[rows.places] = grad
        grad_found = _stacked(spread.view(*rows.grid.shape, -1), heads)
        grad_scores = torch.ops.aten._softmax_backward_data(
            grad_found @ value.transpose(1, 2), weights, -1, weights.dtype
        ).mul_(heads.scaling)
        parts = (
            grad_scores @ key,
            grad_scores.transpose(1, 2) @ query,
            weights.transpose(1, 2) @ grad_found,
        )
        grads = torch.cat([_by_token(part, rows, heads) for part in parts], dim=2)
        grad_qkv = grads.flatten(0, 1)[rows.places]
        grad_qkv[: rows.shared] += grads[1:, : rows.shared].sum(0)
        return grad_qkv, None, None


def _by_group(qkv: torch.Tensor, heads: Heads) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """[R, L, ...] -> queries [R * keys, queries / keys * L, size], keys and values [R * keys, L,
    size]: the query heads of a key head side by side, so that nothing is repeated."""
    width = heads.keys * heads.size
    query, key, value = torch.split(qkv, [heads.queries * heads.size, width, width], dim=2)
    return _stacked(query, heads), _stacked(key, heads), _stacked(value, heads)


def _stacked(x: torch.Tensor, heads: Heads) -> torch.Tensor:
    """[R, L, heads * size] -> [R * keys, heads / keys * L, size]."""
    apart = x.view(*x.shape[:2], heads.keys, -1, heads.size).permute(0, 2, 3, 1, 4)
    return apart.reshape(len(x) * heads.keys, -1, heads.size)


def _by_token(x: torch.Tensor, rows: Rows, heads: Heads) -> torch.Tensor:
    """The way back from `_stacked`: [R, L, heads * size]."""
    count, length = rows.grid.shape
    apart = x.view(count, heads.keys, -1, length, heads.size).permute(0, 3, 1, 2, 4)
    return apart.reshape(count, length, -1)


def _weights(query: torch.Tensor, key: torch.Tensor, heads: Heads) -> torch.Tensor:
    """Causal softmax weights [R * keys, queries / keys * L, L]."""
    length = key.shape[1]
    hidden = query.new_full((length, length), float("-inf")).triu_(1)
    mask = hidden.repeat(heads.queries // heads.keys, 1)
    scores = torch.baddbmm(mask, query, key.transpose(1, 2), alpha=heads.scaling)
    return torch.softmax(scores, dim=-1)


class _TokenLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, vocabulary: torch.Tensor, targets: torch.Tensor
    ) -> torch.Tensor:
        losses = hidden.new_empty(len(hidden))
        grad = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        for start in range(0, len(hidden), _LOSS_ROWS):
            rows = slice(start, start + _LOSS_ROWS)
            wanted = targets[rows, None]
            logits = hidden[rows] @ vocabulary.T
            logits.sub_(logits.amax(dim=-1, keepdim=True))
            torch.neg(logits.gather(1, wanted)[:, 0], out=losses[rows])
            total = logits.exp_().sum(dim=-1, keepdim=True)
            losses[rows] += total.log()[:, 0]
            if grad is not None:
                # d loss / d its hidden = sum of p(v) vocabulary[v], minus the wanted one.
                torch.mm(logits, vocabulary, out=grad[rows])
                grad[rows].div_(total).sub_(vocabulary[wanted[:, 0]])
        ctx.save_for_backward(grad)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        (grad_hidden,) = ctx.saved_tensors
        return grad_hidden * grad[:, None], None, None
