"""A saved state is whole or absent, and holds what the optimiser needs."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch

from trimtab.errors import DiskFull
from trimtab.tune.checkpoint import Progress, load_state, save_state

PROGRESS = Progress(steps=3, loss=0.1 + 0.2, answer_tokens=7, tokens=9, seconds=1.5, peak_memory=8)


def training(seed: int, steps: int):
    """Some parameters and their optimiser after a few steps."""
    generator = torch.Generator().manual_seed(seed)
    parameters = {
        name: torch.nn.Parameter(torch.randn(3, 4, generator=generator)) for name in ("a", "b")
    }
    optimiser = torch.optim.AdamW(parameters.values(), lr=0.1, fused=True)
    step_on(parameters, optimiser, steps)
    return parameters, optimiser


def step_on(parameters, optimiser, steps: int) -> None:
    for _ in range(steps):
        sum((p**3).sum() for p in parameters.values()).backward()
        optimiser.step()
        optimiser.zero_grad()


def test_a_restored_training_goes_on_as_the_saved_one(tmp_path) -> None:
    parameters, optimiser = training(0, steps=3)
    save_state(tmp_path / "state", parameters, optimiser, PROGRESS)
    others, other_optimiser = training(1, steps=1)
    assert load_state(tmp_path / "state", others, other_optimiser) == PROGRESS
    step_on(parameters, optimiser, 4)
    step_on(others, other_optimiser, 4)
    for name, parameter in parameters.items():
        assert torch.equal(others[name], parameter)


def test_a_full_disk_leaves_the_old_state(tmp_path, monkeypatch) -> None:
    path = tmp_path / "state"
    parameters, optimiser = training(0, steps=1)
    save_state(path, parameters, optimiser, PROGRESS)
    before = path.read_bytes()

    def full(self, target) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DiskFull):
        save_state(path, parameters, optimiser, Progress())
    assert path.read_bytes() == before
