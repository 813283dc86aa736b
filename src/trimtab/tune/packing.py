"""Rows laid end to end in one stream of tokens: nothing is padded, a common beginning stands once.

The rows of a task begin with the same template and instructions. Those tokens see the same past in
every row, so they are computed once a pass; each row's own tokens attend to them, and their
gradients flow back through that one computation. It is the same sum as row by row. Only attention,
a small part of the work, looks at whole rows: it reads them through `Rows.grid`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trimtab.tune.rows import TrainingRow


@dataclass(frozen=True)
class Rows:
    """Where the R rows of a stream of T tokens lie. The first `shared` tokens belong to each."""

    shared: int
    grid: torch.Tensor
    """[R, longest] place in the stream of each row's tokens, 0 behind its end."""
    places: torch.Tensor
    """[T] place of each token in the flattened grid; of shared tokens, that in the first row."""


@dataclass(frozen=True)
class Packed:
    """A pass over some rows. T tokens stand in the stream; N of them predict an answer token."""

    ids: torch.Tensor
    """[T] token ids."""
    positions: torch.Tensor
    """[T] position of each token in its row."""
    rows: Rows
    predicts: torch.Tensor
    """[N] places in the stream whose next token is an answer token."""
    targets: torch.Tensor
    """[N] those answer tokens."""


def pack(rows: Sequence[TrainingRow], device: torch.device) -> Packed:
    """Lay `rows` end to end behind their common beginning."""
    shared = _common_beginning(rows) if len(rows) > 1 else 0
    longest = max(map(len, rows))
    ids = rows[0].prompt[:shared]
    positions = list(range(shared))
    grid: list[list[int]] = []
    places = list(range(shared))
    predicts: list[int] = []
    targets: list[int] = []
    for number, row in enumerate(rows):
        start = len(ids)
        ids += row.prompt[shared:] + row.answer
        positions += range(shared, len(row))
        own = range(start, len(ids))
        grid.append([*range(shared), *own, *[0] * (longest - len(row))])
        places += range(number * longest + shared, number * longest + len(row))
        # The token before an answer token predicts it.
        predicts += own[-len(row.answer) - 1 : -1]
        targets += row.answer

    def on_device(values: Sequence[int] | Sequence[Sequence[int]]) -> torch.Tensor:
        return torch.tensor(values, device=device)

    return Packed(
        ids=on_device(ids),
        positions=on_device(positions),
        rows=Rows(shared, on_device(grid), on_device(places)),
        predicts=on_device(predicts),
        targets=on_device(targets),
    )


def stream_tokens(rows: Sequence[TrainingRow]) -> int:
    """How many tokens stand in the stream of `pack`."""
    shared = _common_beginning(rows) if len(rows) > 1 else 0
    return shared + sum(len(row) - shared for row in rows)


def _common_beginning(rows: Sequence[TrainingRow]) -> int:
    """Tokens that all prompts begin with, less the last token of any: it predicts an answer."""
    shortest = min(rows, key=lambda row: len(row.prompt)).prompt
    limit = len(shortest) - 1
    for row in rows:
        if row.prompt[:limit] != shortest[:limit]:
            limit = next(i for i in range(limit) if row.prompt[i] != shortest[i])
    return limit
