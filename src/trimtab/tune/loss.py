"""The loss of answers given prompts: logits are computed at answer positions only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from trimtab.tune.rows import TrainingRow, by_length

_SCORING_BATCH = 16


def answer_loss(model: Any, rows: Sequence[TrainingRow]) -> tuple[torch.Tensor, int]:
    """(summed negative log-likelihood in nats, number of answer tokens) of a batch.

    Rows are padded on the right; causal attention keeps the padding from what counts.
    """
    device = model.get_output_embeddings().weight.device
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
    logits = model.get_output_embeddings()(hidden[row_index, positions])
    wanted = torch.tensor(targets, device=device)
    return functional.cross_entropy(logits.float(), wanted, reduction="sum"), len(targets)


@torch.no_grad()
def mean_loss(model: Any, rows: Sequence[TrainingRow]) -> float:
    """Mean negative log-likelihood per answer token, in nats."""
    total, tokens = 0.0, 0
    for batch in by_length(rows, _SCORING_BATCH):
        loss, count = answer_loss(model, batch)
        total += float(loss)
        tokens += count
    return total / tokens
