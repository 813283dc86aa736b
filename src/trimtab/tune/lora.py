"""Trains a LoRA adapter one epoch at a time; each finished epoch is a checkpoint on disk."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from trimtab.engine.local.engine import LocalEngine
from trimtab.store.files import append
from trimtab.tune.loss import answer_loss, mean_loss
from trimtab.tune.rows import TrainingRow, batches
from trimtab.types import ADAPTER_FILE, Noun

_CLIP = 1.0
_WARMUP = 0.1
_OPTIMISER = "optimiser.safetensors"
_PROGRESS = "epoch.json"


class TrainSettings(Noun):
    """Everything that fixes a training run besides its rows.

    LoRA goes on all linear layers, at about ten times full fine-tuning's learning rate (Schulman
    et al., "LoRA Without Regret", 2025); alpha is twice the rank.
    """

    learning_rate: float
    epochs: int
    rank: int = 16
    batch_size: int = 8
    seed: int = 0


class Epoch(Noun):
    """One finished epoch. `adapter` is its folder; losses are nats per answer token."""

    number: int
    adapter: Path
    train_loss: float
    dev_loss: float
    tokens: int
    seconds: float


def train(
    engine: LocalEngine,
    rows: Sequence[TrainingRow],
    dev: Sequence[TrainingRow],
    settings: TrainSettings,
    folder: Path,
    on_tokens: Callable[[int], None],
    start: Path | None = None,
) -> Iterator[Epoch]:
    """Yield each epoch as it ends; epochs that `folder` already holds are yielded, not repeated.

    `start` is an adapter folder whose weights the first epoch starts from.

    `on_tokens` hears the number of tokens after each step and may raise to stop the training.
    Each epoch that is really trained leaves a line in `epochs.jsonl` beside `folder`.
    """
    engine.adapters.use(None)
    previous: Path | None = None
    for number in range(1, settings.epochs + 1):
        target = folder / f"epoch-{number}"
        if not (target / _PROGRESS).exists():
            _train_epoch(engine, rows, dev, settings, number, previous or start, target, on_tokens)
            append(folder.parent / "epochs.jsonl", [{"epoch": f"{folder.name}/{number}"}])
        if previous is not None:
            (previous / _OPTIMISER).unlink(missing_ok=True)
        previous = target
        saved = json.loads((target / _PROGRESS).read_text("utf-8"))
        yield Epoch(adapter=target, **saved)


def _train_epoch(
    engine: LocalEngine,
    rows: Sequence[TrainingRow],
    dev: Sequence[TrainingRow],
    settings: TrainSettings,
    number: int,
    previous: Path | None,
    target: Path,
    on_tokens: Callable[[int], None],
) -> None:
    model = engine.loaded.model
    engine.adapters.use(None)
    started, tokens = time.monotonic(), 0
    summed, counted = 0.0, 0
    with _lora(model, settings, previous) as peft_model:
        parameters = _trainable(peft_model)
        optimiser = torch.optim.AdamW(parameters.values(), lr=0.0, weight_decay=0.0)
        if previous is not None and number > 1:
            _restore(optimiser, parameters, load_file(previous / _OPTIMISER))
        epoch_batches = batches(rows, settings.batch_size, settings.seed, number)
        total_steps = len(epoch_batches) * settings.epochs
        for step, batch in enumerate(epoch_batches, start=len(epoch_batches) * (number - 1)):
            rate = settings.learning_rate * schedule(step, total_steps)
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss, count = answer_loss(model, batch)
            (loss / count).backward()  # type: ignore[no-untyped-call]  # untyped in torch
            torch.nn.utils.clip_grad_norm_(list(parameters.values()), _CLIP)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            summed, counted = summed + loss.item(), counted + count
            step_tokens = sum(map(len, batch))
            tokens += step_tokens
            on_tokens(step_tokens)
        progress = {
            "number": number,
            "train_loss": summed / counted,
            "dev_loss": mean_loss(model, dev),
            "tokens": tokens,
            "seconds": time.monotonic() - started,
        }
        _save(peft_model, engine.model_id, parameters, optimiser, progress, target)


def schedule(step: int, total: int) -> float:
    """Share of the peak learning rate: linear warm-up over a tenth, then cosine down to a tenth."""
    warmup = max(1, math.ceil(total * _WARMUP))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))


@contextmanager
def _lora(model: Any, settings: TrainSettings, previous: Path | None) -> Iterator[Any]:
    """The model with trainable LoRA layers inside the block, and as it was after it."""
    from peft import LoraConfig, get_peft_model, set_peft_model_state_dict

    torch.manual_seed(settings.seed)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        target_modules="all-linear",
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )
    peft_model = get_peft_model(model, config)
    try:
        if previous is not None:
            set_peft_model_state_dict(peft_model, load_file(previous / ADAPTER_FILE))
        yield peft_model
    finally:
        peft_model.unload()
        if hasattr(model, "peft_config"):
            del model.peft_config


def _trainable(peft_model: Any) -> dict[str, torch.nn.Parameter]:
    return {name: p for name, p in peft_model.named_parameters() if p.requires_grad}


def _restore(
    optimiser: torch.optim.Optimizer,
    parameters: dict[str, torch.nn.Parameter],
    saved: dict[str, torch.Tensor],
) -> None:
    for name, parameter in parameters.items():
        optimiser.state[parameter] = {
            field: saved[f"{field}/{name}"] for field in ("step", "exp_avg", "exp_avg_sq")
        }


def _save(
    peft_model: Any,
    model_id: str,
    parameters: dict[str, torch.nn.Parameter],
    optimiser: torch.optim.Optimizer,
    progress: dict[str, float],
    target: Path,
) -> None:
    """Write the whole checkpoint beside `target`, then rename: an epoch is there or not."""
    draft = target.with_name(target.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    config = peft_model.peft_config["default"]
    # The card of the adapter names the model, not the place where this machine keeps it.
    config.base_model_name_or_path = model_id
    peft_model.save_pretrained(draft, safe_serialization=True)
    (draft / "README.md").unlink(missing_ok=True)
    state = {
        f"{field}/{name}": value.contiguous()
        for name, parameter in parameters.items()
        for field, value in optimiser.state[parameter].items()
    }
    save_file(state, draft / _OPTIMISER)
    (draft / _PROGRESS).write_text(json.dumps(progress), "utf-8")
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
