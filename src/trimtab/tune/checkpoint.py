"""The state of a training on disk: weights, moments of the optimiser, and how far it got."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save

from trimtab.store.files import translate_disk_full
from trimtab.types import Noun

_MOMENTS = ("step", "exp_avg", "exp_avg_sq")


class Progress(Noun):
    """How far an epoch has got. `loss` is summed over `answer_tokens`, in nats."""

    steps: int = 0
    loss: float = 0.0
    answer_tokens: int = 0
    row_losses: tuple[tuple[str, float], ...] = ()
    """(example, loss per answer token) of each row, as it was before its step."""
    tokens: int = 0
    seconds: float = 0.0
    peak_memory: int = 0


def save_state(
    path: Path,
    parameters: Mapping[str, torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    progress: Progress,
) -> None:
    """Replace `path` at once: whoever reads it finds the old state or the new one.

    Raises:
        DiskFull: the old state, if any, is untouched.
    """
    tensors = {}
    for name, parameter in parameters.items():
        tensors[f"weight/{name}"] = parameter.detach().contiguous()
        for field in _MOMENTS:
            tensors[f"{field}/{name}"] = optimiser.state[parameter][field].contiguous()
    data = save(tensors, {"progress": progress.model_dump_json()})
    draft = path.with_name(f".{path.name}")
    with translate_disk_full(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)


def load_state(
    path: Path,
    parameters: Mapping[str, torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
) -> Progress:
    """Put the saved weights and moments where they were, and tell how far it had got."""
    with safe_open(path, framework="pt") as saved:
        for name, parameter in parameters.items():
            parameter.data.copy_(saved.get_tensor(f"weight/{name}"))
            optimiser.state[parameter] = {
                field: saved.get_tensor(f"{field}/{name}").to(parameter.device)
                for field in _MOMENTS
            }
        return Progress.model_validate_json(saved.metadata()["progress"])
