"""Which precision this processor is fastest in: measured once, and kept."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress

import torch

from trimtab.store.files import cache_folder, write_atomic

_CLEARLY_FASTER = 1.2


def clearly_faster(what: str, speed_up: Callable[[], float]) -> bool:
    """Whether `what` is faster here by more than noise: the answer that was measured first with
    this processor and torch, kept in the cache folder.

    The choice is part of a model's id, so a busy moment must not change it between two sittings of
    a run.
    """
    path = cache_folder() / "precision.json"
    processor = f"{torch.backends.cpu.get_cpu_capability()}, {os.cpu_count()} cores"
    key = f"{what}: {processor}, torch {torch.__version__}"
    known: dict[str, bool] = {}
    with suppress(OSError, ValueError, TypeError):  # missing or damaged: measured anew
        known = dict(json.loads(path.read_text("utf-8")))
    if key not in known:
        known[key] = speed_up() > _CLEARLY_FASTER
        write_atomic(path, json.dumps(known))
    return bool(known[key])


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where this processor multiplies it faster than float32, else float32.

    Measured, because it goes both ways: processors with AVX-512-BF16 or AMX gain, others emulate
    bfloat16 and lose up to eight times.
    """
    if device.type == "cuda":
        return torch.bfloat16
    return torch.bfloat16 if clearly_faster("bfloat16", _speed_up) else torch.float32


def _speed_up() -> float:
    return _matmul_seconds(torch.float32) / _matmul_seconds(torch.bfloat16)


def _matmul_seconds(dtype: torch.dtype) -> float:
    left, right = torch.ones(256, 576, dtype=dtype), torch.ones(576, 1536, dtype=dtype)
    times = []
    for _ in range(4):
        started = time.perf_counter()
        torch.matmul(left, right)
        times.append(time.perf_counter() - started)
    return min(times)
