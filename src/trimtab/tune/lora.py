"""Trains a LoRA adapter one epoch at a time; each finished epoch is a checkpoint on disk.

Inside an epoch the state is saved every few seconds, so that a kill loses no more than those; what
a resumed training gives is what an uninterrupted one would have given, bit for bit.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from trimtab.audit.difficulty import DYNAMICS_FILE
from trimtab.engine.local.engine import LocalEngine
from trimtab.store.files import append
from trimtab.tune.anchor import Anchor
from trimtab.tune.checkpoint import Progress, load_state, save_state
from trimtab.tune.loss import answer_losses, mean_loss
from trimtab.tune.memory import peak_memory, reset_peak
from trimtab.tune.quantised import four_bit
from trimtab.tune.rows import PASS_TOKENS, TrainingRow, batches, passes
from trimtab.types import ADAPTER_FILE, Noun

_CLIP = 1.0
_WARMUP = 0.1
_CHECKPOINT_SECONDS = 15.0
"""A checkpoint of the default model takes a tenth of a second."""
_STATE = "state.safetensors"
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
    """Rows of one step of the optimiser."""
    pass_tokens: int = PASS_TOKENS
    """Tokens that go through the model at once. A batch with more is run in several passes, whose
    gradients add up: it bounds memory and changes nothing else."""
    four_bit: bool = False
    """Train on a base in 4 bits (QLoRA), to spare memory of the GPU."""
    seed: int = 0


class Epoch(Noun):
    """One finished epoch. `adapter` is its folder; losses are nats per answer token."""

    number: int
    adapter: Path
    train_loss: float
    dev_loss: float
    tokens: int
    seconds: float
    peak_memory: int
    """Bytes: the most that this process held at once, or the GPU where there is one."""


def train(
    engine: LocalEngine,
    rows: Sequence[TrainingRow],
    dev: Sequence[TrainingRow],
    settings: TrainSettings,
    folder: Path,
    on_tokens: Callable[[int], None],
    start: Path | None = None,
    anchor: Anchor | None = None,
) -> Iterator[Epoch]:
    """Yield each epoch as it ends; epochs that `folder` already holds are yielded, not repeated.

    `start` is an adapter folder whose weights the first epoch starts from; `anchor` adds its term
    to every step's loss.

    `on_tokens` hears the number of tokens after each step and may raise to stop the training; the
    next call goes on from the last checkpoint. Each epoch that is really trained leaves a line in
    `epochs.jsonl` beside `folder`.
    """
    engine.adapters.use(None)
    previous: Path | None = None
    for number in range(1, settings.epochs + 1):
        target = folder / f"epoch-{number}"
        if not (target / _PROGRESS).exists():
            training = _Training(engine, rows, settings, number, target, on_tokens, anchor)
            training.run(dev, previous, start)
            append(folder.parent / "epochs.jsonl", [{"epoch": f"{folder.name}/{number}"}])
        if previous is not None:
            (previous / _STATE).unlink(missing_ok=True)
        previous = target
        saved = json.loads((target / _PROGRESS).read_text("utf-8"))
        yield Epoch(adapter=target, **saved)


def until_worse(epochs: Iterable[Epoch]) -> list[Epoch]:
    """The epochs of `train` up to the first whose dev loss is not below the best before it."""
    found: list[Epoch] = []
    for epoch in epochs:
        worse = any(before.dev_loss <= epoch.dev_loss for before in found)
        found.append(epoch)
        if worse:
            break
    return found


class _Training:
    """One epoch of one training."""

    def __init__(
        self,
        engine: LocalEngine,
        rows: Sequence[TrainingRow],
        settings: TrainSettings,
        number: int,
        target: Path,
        on_tokens: Callable[[int], None],
        anchor: Anchor | None,
    ) -> None:
        self._model = engine.loaded.model
        self._model_id = engine.model_id
        self._device = engine.loaded.device
        self._settings = settings
        self._number = number
        self._target = target
        self._partial = target.with_name(f"{target.name}.partial.safetensors")
        self._on_tokens = on_tokens
        self._anchor = anchor
        self._row_losses: list[tuple[str, float]] = []
        self._batches = batches(rows, settings.batch_size, settings.seed, number)
        engine.adapters.use(None)

    def run(self, dev: Sequence[TrainingRow], previous: Path | None, start: Path | None) -> None:
        """Train from the last checkpoint, the `previous` epoch, or the `start` adapter."""
        reset_peak(self._device)
        base = four_bit(self._model) if self._settings.four_bit else nullcontext()
        with base, lora(self._model, self._settings) as peft_model:
            parameters = trainable(peft_model)
            optimiser = torch.optim.AdamW(parameters.values(), lr=0.0, weight_decay=0.0, fused=True)
            progress = Progress()
            if self._partial.exists():
                progress = load_state(self._partial, parameters, optimiser)
                self._row_losses = list(progress.row_losses)
            elif previous is not None:
                load_state(previous / _STATE, parameters, optimiser)
            elif start is not None:
                _load_adapter(peft_model, start)
            began = time.monotonic() - progress.seconds
            progress = self._steps(parameters, optimiser, progress, began)
            dev_loss = mean_loss(self._model, dev)
            progress = progress.model_copy(update={"seconds": time.monotonic() - began})
            self._finish(peft_model, parameters, optimiser, progress, dev_loss)

    def _steps(
        self,
        parameters: dict[str, torch.nn.Parameter],
        optimiser: torch.optim.Optimizer,
        progress: Progress,
        began: float,
    ) -> Progress:
        """Train on the batches that are left, with a checkpoint every few seconds."""
        count = len(self._batches)
        saved = time.monotonic()
        for step in range(progress.steps, count):
            batch = self._batches[step]
            done = count * (self._number - 1) + step
            rate = schedule(done, count * self._settings.epochs) * self._settings.learning_rate
            for group in optimiser.param_groups:
                group["lr"] = rate
            loss = self._add_gradients(batch)
            tokens = sum(map(len, batch))
            if self._anchor is not None:
                tokens += self._anchor.add_gradients(self._model, done)
            torch.nn.utils.clip_grad_norm_(list(parameters.values()), _CLIP)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            now = time.monotonic()
            progress = Progress(
                steps=step + 1,
                loss=progress.loss + loss,
                answer_tokens=progress.answer_tokens + sum(len(row.answer) for row in batch),
                tokens=progress.tokens + tokens,
                seconds=now - began,
                peak_memory=max(progress.peak_memory, peak_memory(self._device)),
            )
            if now - saved >= _CHECKPOINT_SECONDS:
                self._checkpoint(parameters, optimiser, progress)
                saved = time.monotonic()
            self._on_tokens(tokens)
        return progress

    def _checkpoint(
        self,
        parameters: dict[str, torch.nn.Parameter],
        optimiser: torch.optim.Optimizer,
        progress: Progress,
    ) -> None:
        so_far = progress.model_copy(update={"row_losses": tuple(self._row_losses)})
        save_state(self._partial, parameters, optimiser, so_far)

    def _add_gradients(self, batch: Sequence[TrainingRow]) -> float:
        """Add the gradients of the mean loss over the batch's answer tokens; give the sum."""
        answer_tokens = sum(len(row.answer) for row in batch)
        total = 0.0
        for part in passes(batch, self._settings.pass_tokens):
            losses = answer_losses(self._model, part)
            (losses.sum() / answer_tokens).backward()  # type: ignore[no-untyped-call]  # of torch
            known = losses.detach()
            by_row = torch.split(known, [len(row.answer) for row in part])
            for row, own in zip(part, by_row, strict=True):
                self._row_losses.append((row.example, float(own.mean())))
            total += float(known.sum())
        return total

    def _finish(
        self,
        peft_model: Any,
        parameters: dict[str, torch.nn.Parameter],
        optimiser: torch.optim.Optimizer,
        progress: Progress,
        dev_loss: float,
    ) -> None:
        """Write the whole epoch beside its folder, then rename: an epoch is there or not."""
        draft = self._target.with_name(self._target.name + ".draft")
        shutil.rmtree(draft, ignore_errors=True)
        config = peft_model.peft_config["default"]
        # The card of the adapter names the model, not the place where this machine keeps it.
        config.base_model_name_or_path = self._model_id
        peft_model.save_pretrained(draft, safe_serialization=True)
        (draft / "README.md").unlink(missing_ok=True)
        save_state(draft / _STATE, parameters, optimiser, progress)
        epoch = {
            "number": self._number,
            "train_loss": progress.loss / progress.answer_tokens,
            "dev_loss": dev_loss,
            "tokens": progress.tokens,
            "seconds": progress.seconds,
            "peak_memory": progress.peak_memory,
        }
        append(
            draft / DYNAMICS_FILE,
            (
                {"example": example, "epoch": self._number, "loss": loss}
                for example, loss in self._row_losses
            ),
        )
        (draft / _PROGRESS).write_text(json.dumps(epoch), "utf-8")
        shutil.rmtree(self._target, ignore_errors=True)
        draft.rename(self._target)
        self._partial.unlink(missing_ok=True)


def schedule(step: int, total: int) -> float:
    """Share of the peak learning rate: linear warm-up over a tenth, then cosine down to a tenth."""
    warmup = max(1, math.ceil(total * _WARMUP))
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, total - warmup)
    return 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * done))


@contextmanager
def lora(model: Any, settings: TrainSettings) -> Iterator[Any]:
    """The model with trainable LoRA layers inside the block, and as it was after it."""
    from peft import LoraConfig, get_peft_model

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
        yield peft_model
    finally:
        peft_model.unload()
        if hasattr(model, "peft_config"):
            del model.peft_config


def trainable(peft_model: Any) -> dict[str, torch.nn.Parameter]:
    """The adapter's parameters by name."""
    return {name: p for name, p in peft_model.named_parameters() if p.requires_grad}


def _load_adapter(peft_model: Any, folder: Path) -> None:
    from peft import set_peft_model_state_dict

    set_peft_model_state_dict(peft_model, load_file(folder / ADAPTER_FILE))
