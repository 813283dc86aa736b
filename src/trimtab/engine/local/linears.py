"""Applies a model's linear layers, with weights packed in half precision where that is faster.

A processor without fast bfloat16 multiplies in float32. Reading float32 weights then bounds the
decoding of few rows. torch's FBGEMM kernels read weights of half the size and still multiply and
add in float32, so the result is exact as far as the weights are: those of a checkpoint in bfloat16
or float16 almost always are, and of others this module keeps away. A merged adapter is rounded to
11 significant bits (bfloat16 serving, which is common, keeps 8).
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch.nn import functional

from trimtab.store.files import cache_folder, write_atomic

_FEW_ROWS = 4
_CLEARLY_FASTER = 1.2


class Linears:
    """The linear layers of one model. After `outdate`, weights are packed anew when next used."""

    def __init__(self, model: Any, packed: bool) -> None:
        self._modules = [m for m in model.modules() if type(m) is torch.nn.Linear] if packed else []
        self._packed: dict[torch.nn.Module, Any] = {}

    def outdate(self) -> None:
        """Weights have changed."""
        self._packed.clear()

    def prepare(self) -> None:
        """Pack what is not packed yet: about a second for a hundred million weights."""
        if not self._packed:
            self._packed = {module: _pack(module.weight.detach()) for module in self._modules}

    def __call__(self, module: Any, x: torch.Tensor) -> torch.Tensor:
        """[..., in] -> [..., out]."""
        packed = self._packed.get(module)
        if packed is None:
            return functional.linear(x, module.weight)
        result: torch.Tensor = torch.ops.quantized.linear_dynamic_fp16(x, packed)
        return result


def packing_pays(model: Any) -> bool:
    """Whether half precision holds all linear weights exactly, and this machine gains from it."""
    weights = [m.weight for m in model.modules() if type(m) is torch.nn.Linear]
    if "fbgemm" not in torch.backends.quantized.supported_engines or any(
        weight.device.type != "cpu" or weight.dtype != torch.float32 for weight in weights
    ):
        return False
    exact = all(torch.equal(weight.half().float(), weight) for weight in weights)
    return exact and _measured_once()


def _measured_once() -> bool:
    """The answer that was measured first with this processor and torch, kept in the cache folder.

    The choice is part of the model's id, so a busy moment must not change it between two sittings
    of a run.
    """
    path = cache_folder() / "packing.json"
    key = f"{torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores, {torch.__version__}"
    known: dict[str, bool] = {}
    with suppress(OSError, ValueError, TypeError):  # missing or damaged: measured anew
        known = dict(json.loads(path.read_text("utf-8")))
    if key not in known:
        known[key] = _speed_up() > _CLEARLY_FASTER
        write_atomic(path, json.dumps(known))
    return bool(known[key])


def _speed_up() -> float:
    """How many times faster the packed product of a few rows is here."""
    rows, weight = torch.ones(_FEW_ROWS, 576), torch.ones(1536, 576)
    packed = _pack(weight)
    plain = _seconds(lambda: functional.linear(rows, weight))
    return plain / _seconds(lambda: torch.ops.quantized.linear_dynamic_fp16(rows, packed))


def _seconds(product: Callable[[], object]) -> float:
    """The fastest of several runs: noise only ever adds."""
    times = []
    for _ in range(20):
        started = time.perf_counter()
        product()
        times.append(time.perf_counter() - started)
    return min(times)


def _pack(weight: torch.Tensor) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a note that newer packages have other quantisations
        return torch.ops.quantized.linear_prepack_fp16(weight, None)
