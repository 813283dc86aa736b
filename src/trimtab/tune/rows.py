"""Examples as token ids for training: tokenised once, batched so that little is padded."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from trimtab.engine.local.template import ChatTemplate
from trimtab.prompt.render import render_with_target
from trimtab.types import Example, Prompt

_BATCHES_SORTED_TOGETHER = 16
PASS_TOKENS = 1024
"""Tokens that go through the model at once, unless one row is longer. More costs memory and saves
little time on a CPU: matrix products come close to their full rate at some hundred rows."""


@dataclass(frozen=True)
class TrainingRow:
    """Token ids of one example. Only `answer` is learnt; it ends with the end-of-turn token."""

    prompt: list[int]
    answer: list[int]
    example: str = ""
    """Id of the example, by which its losses are kept."""

    def __len__(self) -> int:
        return len(self.prompt) + len(self.answer)


def encode(
    template: ChatTemplate, prompt: Prompt, examples: Sequence[Example]
) -> list[TrainingRow]:
    """Render with the same code that serves requests, then tokenise."""
    return [
        TrainingRow(*template.training(render_with_target(prompt, example, None)), example.id)
        for example in examples
    ]


def batches(
    rows: Sequence[TrainingRow], size: int, seed: int, epoch: int
) -> list[list[TrainingRow]]:
    """All rows once, in an order that `seed` and `epoch` fix.

    Rows of like length share a batch: shuffled rows are sorted inside windows of some batches,
    and the batches of a window are shuffled again.
    """
    order = random.Random(f"{seed}/{epoch}")  # noqa: S311 - reproducibility, not secrecy
    shuffled = list(rows)
    order.shuffle(shuffled)
    result: list[list[TrainingRow]] = []
    for window in _chunks(shuffled, size * _BATCHES_SORTED_TOGETHER):
        together = list(_chunks(sorted(window, key=len), size))
        order.shuffle(together)
        result += together
    return result


def passes(rows: Sequence[TrainingRow], tokens: int) -> Iterator[list[TrainingRow]]:
    """All rows once, in their order, at most `tokens` tokens (but at least one row) at a time."""
    current: list[TrainingRow] = []
    held = 0
    for row in rows:
        if current and held + len(row) > tokens:
            yield current
            current, held = [], 0
        current.append(row)
        held += len(row)
    if current:
        yield current


def _chunks(rows: Sequence[TrainingRow], size: int) -> Iterator[list[TrainingRow]]:
    for start in range(0, len(rows), size):
        yield list(rows[start : start + size])
