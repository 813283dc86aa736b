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
    if not _packs(model, rows):
        return padded_losses(model, rows)
    head = model.get_output_embeddings()
    packed = pack(rows, head.weight.device)
    states = answer_states(model, packed)
    return token_losses(states, head.weight, packed.targets)


def padded_losses(model: Any, rows: Sequence[TrainingRow]) -> torch.Tensor:
    """`answer_losses` through the model's own modules, for any architecture.

    Rows are padded on the right; causal attention keeps the padding from what counts.
    """
    states = _padded_states(model, rows)
    wanted = torch.tensor([token for row in rows for token in row.answer], device=states.device)
    logits = model.get_output_embeddings()(states)
    return functional.cross_entropy(logits.float(), wanted, reduction="none")


def answer_divergences(model: Any, row: TrainingRow, base: torch.Tensor) -> torch.Tensor:
    """KL(base || model) in nats at each answer token of a row; `base` are the base's last hidden
    states [answer tokens, H]. Both go through the one head, which adapters leave alone."""
    head = model.get_output_embeddings()
    if _packs(model, [row]):
        states = answer_states(model, pack([row], head.weight.device))
    else:
        states = _padded_states(model, [row])
    with torch.no_grad():
        wanted = torch.log_softmax(head(base).float(), dim=-1)
    found = torch.log_softmax(head(states).float(), dim=-1)
    return functional.kl_div(found, wanted, reduction="none", log_target=True).sum(dim=-1)


def _packs(model: Any, rows: Sequence[TrainingRow]) -> bool:
    return fits(model) and max(map(len, rows)) <= _LONGEST_PACKED


def _padded_states(model: Any, rows: Sequence[TrainingRow]) -> torch.Tensor:
    """[N, H]: the last hidden state wherever an answer token is predicted, row by row."""
    device = model.get_output_embeddings().weight.device
    width = max(map(len, rows))
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    row_index: list[int] = []
    positions: list[int] = []
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row.prompt + row.answer)
        # The token before an answer token predicts it.
        positions += range(len(row.prompt) - 1, len(row) - 1)
        row_index += [index] * len(row.answer)
    hidden = model.base_model(input_ids=ids.to(device), use_cache=False).last_hidden_state
    states: torch.Tensor = hidden[row_index, positions]
    return states


@torch.no_grad()
def mean_loss(model: Any, rows: Sequence[TrainingRow]) -> float:
    """Mean negative log-likelihood per answer token, in nats."""
    total, tokens = 0.0, 0
    for batch in passes(sorted(rows, key=len), PASS_TOKENS):
        losses = answer_losses(model, batch)
        total += float(losses.sum())
        tokens += len(losses)
    return total / tokens
