"""The loss of answers given prompts: logits are computed at answer positions only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from trimtab.tune.fused import token_losses
from trimtab.tune.llama import answer_states, fits
from trimtab.tune.packing import pack
from trimtab.tune.rows import PASS_TOKENS, TrainingRow, passes

_LONGEST_PACKED = 1024
"""Packed attention writes its weights out, which grow with the square of a row; a longer row goes
through the model's own attention, which does not."""


def answer_losses(model: Any, rows: Sequence[TrainingRow]) -> torch.Tensor:
    """Negative log-likelihood in nats of each answer token of a batch, one row after the other.

    A Llama with LoRA runs packed (`trimtab.tune.llama`), any other model through its own modules.
    """
    if not fits(model) or max(map(len, rows)) > _LONGEST_PACKED:
        return padded_losses(model, rows)
    head = model.get_output_embeddings()
    packed = pack(rows, head.weight.device)
    states = answer_states(model, packed)
    return token_losses(states, head.weight, packed.targets)


def padded_losses(model: Any, rows: Sequence[TrainingRow]) -> torch.Tensor:
    """`answer_losses` through the model's own modules, for any architecture.

    Rows are padded on the right; causal attention keeps the padding from what counts.
    """
    head = model.get_output_embeddings()
    device = head.weight.device
    width = max(map(len, rows))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    row_index: list[int] = []
    positions: list[int] = []
    targets: list[int] = []
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row.prompt + row.answer)
        # The token before an answer token predicts it.
        positions += range(len(row.prompt) - 1, len(row) - 1)
        row_index += [index] * len(row.answer)
        targets += row.answer
    hidden = model.base_model(input_ids=ids.to(device), use_cache=False).last_hidden_state
    logits = head(hidden[row_index, positions])
    wanted = torch.tensor(targets, device=device)
    return functional.cross_entropy(logits.float(), wanted, reduction="none")


@torch.no_grad()
def mean_loss(model: Any, rows: Sequence[TrainingRow]) -> float:
    """Mean negative log-likelihood per answer token, in nats."""
    total, tokens = 0.0, 0
    for batch in passes(sorted(rows, key=len), PASS_TOKENS):
        losses = answer_losses(model, batch)
        total += float(losses.sum())
        tokens += len(losses)
    return total / tokens
