"""A peak is that of what ran since the reset."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trimtab.tune import memory
from trimtab.tune.memory import peak_memory, reset_peak

CPU = torch.device("cpu")
MEGABYTE = 1_000_000


def test_the_peak_is_that_since_the_reset() -> None:
    reset_peak(CPU)
    before = peak_memory(CPU)
    held = np.ones(25 * MEGABYTE)  # 200 MB, and touched
    during = peak_memory(CPU)
    if during == before:
        pytest.skip("this system takes the wish for a reset and keeps the old peak")
    assert 190 * MEGABYTE < during - before < 300 * MEGABYTE
    del held
    assert peak_memory(CPU) > during - 2 * MEGABYTE  # the system counts pages loosely
    reset_peak(CPU)
    assert peak_memory(CPU) < during - 150 * MEGABYTE


def test_a_reset_is_what_proc_asks_for_and_the_peak_is_what_it_tells(monkeypatch, tmp_path) -> None:
    status, clear = tmp_path / "status", tmp_path / "clear_refs"
    status.write_text("VmPeak:\t 9000 kB\nVmHWM:\t 2048 kB\nVmRSS:\t 1024 kB\n")
    clear.touch()
    monkeypatch.setattr(memory, "_STATUS", status)
    monkeypatch.setattr(memory, "_CLEAR", clear)
    reset_peak(CPU)
    assert clear.read_text() == "5"
    assert peak_memory(CPU) == 2048 * 1024


def test_a_system_without_proc_tells_the_peak_of_the_process(monkeypatch, tmp_path) -> None:
    expected = peak_memory(CPU)
    monkeypatch.setattr(memory, "_STATUS", tmp_path / "missing")
    monkeypatch.setattr(memory, "_CLEAR", tmp_path / "missing")
    reset_peak(CPU)
    assert expected / 2 < peak_memory(CPU) < 100 * expected
