"""How likely a model finds given tokens, and how far two models' next tokens differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trimtab.tune.rows import PASS_TOKENS, TrainingRow, passes

_ROWS = 256
"""Positions whose logits exist at one time: 50 MB for 49,152 tokens."""


@torch.inference_mode()
def answer_states(model: Any, rows: Sequence[TrainingRow]) -> list[torch.Tensor]:
    """For each row the last hidden states [answer tokens, H] that predict its answer.

    Through the model's own modules, so that base and tuned go the same way whatever they are.
    """
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found: dict[int, torch.Tensor] = {}
    device = model.get_output_embeddings().weight.device
    places = iter(order)
    for batch in passes([rows[i] for i in order], PASS_TOKENS):
        ids = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.long)
        for index, row in enumerate(batch):
            ids[index, : len(row)] = torch.tensor(row.prompt + row.answer)
        states = model.base_model(input_ids=ids.to(device), use_cache=False).last_hidden_state
        for index, row in enumerate(batch):
            # The token before an answer token predicts it.
            found[next(places)] = states[index, len(row.prompt) - 1 : len(row) - 1].clone()
    return [found[i] for i in range(len(rows))]


@torch.inference_mode()
def log_likelihoods(
    model: Any, rows: Sequence[TrainingRow], states: Sequence[torch.Tensor]
) -> list[float]:
    """Log-probability (nats) of each row's answer, from its `answer_states`."""
    head = model.get_output_embeddings()
    targets = torch.tensor([token for row in rows for token in row.answer], device=states[0].device)
    parts = []
    for piece, wanted in zip(_pieces(states), torch.split(targets, _ROWS), strict=True):
        logs = torch.log_softmax(head(piece).float(), dim=-1)
        parts.append(logs.gather(1, wanted[:, None])[:, 0].double())
    sums = torch.split(torch.cat(parts), [len(row.answer) for row in rows])
    return [float(each.sum()) for each in sums]


@torch.inference_mode()
def mean_divergence(
    model: Any, base: Sequence[torch.Tensor], tuned: Sequence[torch.Tensor]
) -> float:
    """Mean KL divergence (base || tuned, nats) of the next-token distributions at given states.

    Both go through the model's one head: adapters leave it alone.
    """
    head = model.get_output_embeddings()
    total, count = 0.0, 0
    for before, after in zip(_pieces(base), _pieces(tuned), strict=True):
        logs = torch.log_softmax(head(before).float(), dim=-1)
        others = torch.log_softmax(head(after).float(), dim=-1)
        total += float((logs.exp() * (logs - others)).sum())
        count += len(before)
    return total / count


def _pieces(states: Sequence[torch.Tensor]) -> Sequence[torch.Tensor]:
    return torch.split(torch.cat(list(states)), _ROWS)
