"""QLoRA: adapters trained on a base whose linear weights are held in 4 bits.

Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs" (2023): NF4 with double
quantisation. The engine's own weights wait in main memory and answer afterwards, so what is
measured on dev is the adapter on the base that serves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from trimtab.errors import ModelError


@contextmanager
def four_bit(model: Any) -> Iterator[None]:
    """`model` with its layers' linear weights in 4 bits inside the block, as it was after it.

    Raises `ModelError` without bitsandbytes.
    """
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError as error:
        raise ModelError(
            "training on a 4-bit base needs bitsandbytes: pip install 'trimtab[qlora]'"
        ) from error

    def quantised(linear: torch.nn.Linear) -> Any:
        weight = linear.weight
        result = Linear4bit(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            compute_dtype=weight.dtype,
            quant_type="nf4",
            device="meta",
        )
        result.weight = Params4bit(
            weight.data.cpu(), requires_grad=False, compress_statistics=True, quant_type="nf4"
        )
        result.bias = linear.bias
        return result.to(weight.device)  # moving to its device is what quantises a Params4bit

    device = model.device
    kept = {
        name: module
        for name, module in model.base_model.named_modules()
        if type(module) is torch.nn.Linear
    }
    try:
        for name, linear in kept.items():
            model.base_model.set_submodule(name, quantised(linear))
            linear.to("cpu")
        yield
    finally:
        for name, linear in kept.items():
            model.base_model.set_submodule(name, linear.to(device))
