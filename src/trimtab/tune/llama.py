"""Answer positions' hidden states of a Llama model with LoRA, over packed rows."""

from __future__ import annotations

from typing import Any

import torch

from trimtab.engine.local import llama
from trimtab.tune.fused import (
    Heads,
    Linear,
    add_gated_linear,
    add_linear,
    attention,
    normed_linears,
    rotate,
)
from trimtab.tune.packing import Packed

_ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
_MLP = ("gate_proj", "up_proj", "down_proj")


def fits(model: Any) -> bool:
    """Whether `answer_states` computes what `model` does: a float32 Llama without biases, with a
    plain LoRA pair of peft on each linear module of its layers. Others train through their own
    modules."""
    from peft.tuners.lora import Linear as LoraLinear

    head = model.get_output_embeddings()
    return (
        llama.fits(model)
        and type(head) is torch.nn.Linear
        and head.weight.dtype == torch.float32
        and all(
            type(each) is LoraLinear
            and type(each.base_layer) is torch.nn.Linear
            and each.base_layer.weight.dtype == torch.float32
            for layer in model.base_model.layers
            for block, names in ((layer.self_attn, _ATTENTION), (layer.mlp, _MLP))
            for each in (getattr(block, name) for name in names)
        )
    )


def answer_states(model: Any, packed: Packed) -> torch.Tensor:
    """[N, H]: the normed last hidden state wherever an answer token is predicted."""
    base = model.base_model
    x = base.embed_tokens(packed.ids)
    cosine, sine = (each[0] for each in base.rotary_emb(x, packed.positions[None]))
    half = cosine.shape[1] // 2  # the second half repeats the first
    for layer in base.layers:
        block = layer.self_attn
        heads = _heads(model.config, block)
        qkv = normed_linears(
            x,
            layer.input_layernorm.weight,
            layer.input_layernorm.variance_epsilon,
            [_linear(getattr(block, name)) for name in _ATTENTION[:3]],
        )
        rotated = rotate(qkv, cosine[:, :half], sine[:, :half], heads.queries + heads.keys)
        found = attention(rotated, packed.rows, heads)
        if layer is base.layers[-1]:
            # No later layer looks at the other positions.
            x, found = x.index_select(0, packed.predicts), found.index_select(0, packed.predicts)
        x = add_linear(x, found, _linear(block.o_proj))
        gate_and_up = normed_linears(
            x,
            layer.post_attention_layernorm.weight,
            layer.post_attention_layernorm.variance_epsilon,
            [_linear(layer.mlp.gate_proj), _linear(layer.mlp.up_proj)],
        )
        x = add_gated_linear(x, gate_and_up, _linear(layer.mlp.down_proj))
    states: torch.Tensor = base.norm(x)
    return states


def _heads(config: Any, block: Any) -> Heads:
    return Heads(
        queries=config.num_attention_heads,
        keys=config.num_key_value_heads,
        size=block.head_dim,
        scaling=block.scaling,
    )


def _linear(module: Any) -> Linear:
    (name,) = module.active_adapters
    return Linear(
        weight=module.base_layer.weight,
        down=module.lora_A[name].weight,
        up=module.lora_B[name].weight,
        scale=module.scaling[name],
    )
