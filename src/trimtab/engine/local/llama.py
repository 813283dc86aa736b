"""The forward pass of Llama-shaped models, written out.

One row at a time, a third of a token's time goes into modules, views and casts around the matrix
products; here it is a few percent. Models of another shape run through their own modules.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from trimtab.engine.local.attention import KeyValues, shared_prefix_attention
from trimtab.engine.local.linears import Linears


def fits(model: Any) -> bool:
    """Whether `states` computes what `model` does."""
    config = model.config
    return (
        config.model_type == "llama"
        and config.hidden_act == "silu"
        and not config.attention_bias
        and not config.mlp_bias
    )


def states(
    model: Any,
    linear: Linears,
    ids: torch.Tensor,
    positions: torch.Tensor,
    last: torch.Tensor | None,
    kv: KeyValues,
) -> torch.Tensor:
    """[rows, new, hidden]: normed states at all new tokens; keys and values go into `kv`.

    `ids` and `positions` are [rows, new]. With `last` [rows], which counts inside the new tokens,
    the states are those of these tokens alone, [rows, 1, hidden].
    """
    base = model.base_model
    x = base.embed_tokens(ids)
    cosine, sine = base.rotary_emb(x, positions)
    half = sine.shape[-1] // 2
    # Turned by half its size, a head has its partners in place; the sign goes into the sine.
    sine = torch.cat([-sine[..., :half], sine[..., half:]], dim=-1)[:, :, None]
    cosine = cosine[:, :, None]
    rows, new, _ = x.shape
    for layer in base.layers:
        block = layer.self_attn
        normed = _normed(x, layer.input_layernorm)
        heads = (rows, new, -1, block.head_dim)
        query = linear(block.q_proj, normed).view(heads)
        key = linear(block.k_proj, normed).view(heads)
        value = linear(block.v_proj, normed).view(heads)
        split = [query.shape[2], key.shape[2]]
        both = torch.cat([query, key], dim=2)
        turned = both.roll(half, -1).mul_(sine)
        query, key = torch.split(both.mul_(cosine).add_(turned), split, dim=2)
        found, _ = shared_prefix_attention(
            block,
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            None,
            block.scaling,
            kv,
        )
        if layer is base.layers[-1] and last is not None:
            # Nothing looks at the other tokens any more.
            each = torch.arange(rows, device=x.device)
            x, found = x[each, last][:, None], found[each, last][:, None]
        x = linear(block.o_proj, found.flatten(2)).add_(x)
        normed = _normed(x, layer.post_attention_layernorm)
        opened = functional.silu(linear(layer.mlp.gate_proj, normed), inplace=True)
        opened.mul_(linear(layer.mlp.up_proj, normed))
        x = linear(layer.mlp.down_proj, opened).add_(x)
    return _normed(x, base.norm)


def _normed(x: torch.Tensor, norm: Any) -> torch.Tensor:
    """RMS norm; the mean square is taken in float32, as in training."""
    wide = x.float()
    scale = wide.square().mean(-1, keepdim=True).add_(norm.variance_epsilon).rsqrt_()
    return (wide * scale).to(x.dtype).mul_(norm.weight)
