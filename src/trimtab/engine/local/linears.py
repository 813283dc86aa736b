"""Applies a model's linear layers, with weights packed in half precision where that is faster.

A processor without fast bfloat16 multiplies in float32. Reading float32 weights then bounds the
decoding of few rows. torch's FBGEMM kernels read weights of half the size and still multiply and
add in float32, so the result is exact as far as the weights are: those of a checkpoint in bfloat16
or float16 almost always are, and of others this module keeps away. A merged adapter is rounded to
11 significant bits (bfloat16 serving, which is common, keeps 8).
"""

from __future__ import annotations

import time
import warnings
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from trimtab.engine.local.precision import clearly_faster

_FEW_ROWS = 4


class Linears:
    """The linear layers of one model, with what is packed of them for one adapter or several."""

    def __init__(self, model: Any, packed: bool) -> None:
        self._modules = [m for m in model.modules() if type(m) is torch.nn.Linear] if packed else []
        self._sets: OrderedDict[str | None, dict[torch.nn.Module, Any]] = OrderedDict()
        self._packed: dict[torch.nn.Module, Any] = {}
        self._kept = 1

    def keep(self, sets: int) -> None:
        """Hold the packed weights of so many adapters, the base as one of them; before, of one.

        Where calls of several variants come in turn, packing would take longer than answering.
        """
        self._kept = sets

    def outdate(self) -> None:
        """The model's own weights have changed: with another adapter, not those of this one."""
        if self._kept == 1:
            self._sets.clear()
            self._packed = {}

    def select(self, adapter: str | None) -> bool:
        """Use what is packed for `adapter`, where it is; the model's own weights are not read."""
        if adapter not in self._sets:
            return False
        self._sets.move_to_end(adapter)
        self._packed = self._sets[adapter]
        return True

    def prepare(self, adapter: str | None = None) -> None:
        """Pack the model's own weights, which are those of `adapter` now, and use them: one or two
        seconds for a hundred million weights."""
        if not self._modules or self.select(adapter):
            return
        while len(self._sets) >= self._kept:
            self._sets.popitem(last=False)
        self._packed = {}
        self._packed = {module: _pack(module.weight.detach()) for module in self._modules}
        self._sets[adapter] = self._packed

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
    return exact and clearly_faster("packed weights", _speed_up)


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
