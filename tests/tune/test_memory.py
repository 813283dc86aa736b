"""A peak is that of what ran since the reset."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trimtab.tune import memory
from trimtab.tune.memory import peak_memory, reset_peak

CPU = torch.device("cpu")
MEGABYTE = 1_000_000


def the_system_resets_the_peak() -> bool:
    """Some sandboxes take the request and do nothing."""
    touched = np.ones(10 * MEGABYTE)
    high = peak_memory(CPU)
    del touched
    reset_peak(CPU)
    return peak_memory(CPU) < high


@pytest.mark.skipif(not the_system_resets_the_peak(), reason="this system keeps the old peak")
def test_the_peak_is_that_since_the_reset() -> None:
    reset_peak(CPU)
    before = peak_memory(CPU)
    held = np.ones(25 * MEGABYTE)  # 200 MB, and touched
    during = peak_memory(CPU)
    assert 190 * MEGABYTE < during - before < 300 * MEGABYTE
    del held
    assert peak_memory(CPU) > during - 2 * MEGABYTE  # the system counts pages loosely
    reset_peak(CPU)
    assert peak_memory(CPU) < during - 150 * MEGABYTE


def test_a_system_without_proc_tells_the_peak_of_the_process(monkeypatch, tmp_path) -> None:
    expected = peak_memory(CPU)
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "missing")
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "missing")
    reset_peak(CPU)
    assert expected / 2 < peak_memory(CPU) < 100 * expected
