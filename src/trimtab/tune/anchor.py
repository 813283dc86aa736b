"""Holds a training to its base: on general prompts, what the base would say next stays likely.

The term is the forward divergence KL(base || tuned) on the base's own answers, as in Li and Hoiem,
"Learning without Forgetting" (2016), with their weight of 1. Forward, because it grows wherever the
base would say what the tuned model no longer does, which is what forgetting is; the reverse lets
the tuned model drop ways to answer as long as those it keeps are the base's. It is also what the
report shows of a fine-tune.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from trimtab.tune.loss import answer_divergences
from trimtab.tune.retention.likelihood import answer_states
from trimtab.tune.rows import TrainingRow


@dataclass(frozen=True)
class Anchor:
    """Rows with the base's answers, and its last hidden states [answer tokens, H] in each."""

    rows: Sequence[TrainingRow]
    states: Sequence[torch.Tensor]
    weight: float
    """Of the mean divergence over a row's answer tokens, beside the mean loss of a batch."""

    def add_gradients(self, model: Any, step: int) -> int:
        """Add those of one row, which `step` picks in turn; give the tokens that it took."""
        if not self.rows:
            return 0  # the base answered nothing
        turn = step % len(self.rows)
        row = self.rows[turn]
        loss = self.weight * answer_divergences(model, row, self.states[turn]).mean()
        loss.backward()  # type: ignore[no-untyped-call]  # of torch
        return len(row)


def anchored(model: Any, rows: Sequence[TrainingRow], weight: float) -> Anchor:
    """The anchor of `model` as it is now, without an adapter."""
    # Clones made here may take part in gradients, which what inference mode gave may not.
    return Anchor(rows, [states.clone() for states in answer_states(model, rows)], weight)
