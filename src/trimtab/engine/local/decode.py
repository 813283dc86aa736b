"""Decodes a batch of rows behind a shared prefix: greedy or sampled, free or constrained."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from trimtab.engine.local.attention import KeyValues, Prefix
from trimtab.engine.local.grammar import GrammarState

_PREFILL_TOKENS = 2048
"""Tokens in one prefill pass: enough to keep two cores busy, few enough to stay in the cache."""


@dataclass
class Row:
    """One answer in the making. `prompt` are the tokens after the shared prefix."""

    position: int
    prompt: list[int]
    max_tokens: int
    grammar: GrammarState | None = None
    temperature: float = 0.0
    sampler: torch.Generator | None = None
    tokens: list[int] = field(default_factory=list)
    finished: bool = False
    """Ended by itself, not cut at `max_tokens`."""


class Decoder:
    """Runs the forward passes of one loaded model."""

    def __init__(self, model: Any, device: torch.device, stop_tokens: frozenset[int]) -> None:
        self._model = model
        self._device = device
        self._stop = stop_tokens
        self._config = model.config

    @torch.inference_mode()
    def prefix(self, tokens: Sequence[int]) -> Prefix:
        """Compute the keys and values of `tokens` once."""
        empty = Prefix(())
        if not tokens:
            return empty
        kv = KeyValues(empty, 1, len(tokens), self._config.num_hidden_layers)
        self._forward([list(tokens)], kv, 0)
        return kv.to_prefix(tuple(tokens))

    @torch.inference_mode()
    def run(self, rows: Sequence[Row], prefix: Prefix) -> Iterator[Row]:
        """Decode `rows` together, yielding each as it ends. Rows that end leave the batch."""
        rows = sorted(rows, key=lambda row: len(row.prompt))
        capacity = max(len(row.prompt) + row.max_tokens for row in rows)
        kv = KeyValues(prefix, len(rows), capacity, self._config.num_hidden_layers)
        for first, last in _prefill_passes(rows):
            logits = self._forward([row.prompt for row in rows[first:last]], kv, first)
            for row, scores in zip(rows[first:last], logits, strict=True):
                self._take(row, scores)
        active = list(rows)
        while True:
            yield from _remove_ended(active, kv)
            if not active:
                return
            logits = self._forward([[row.tokens[-1]] for row in active], kv, 0)
            self._take_all(active, logits)

    def _forward(self, ids: list[list[int]], kv: KeyValues, first: int) -> torch.Tensor:
        """One pass over rows `first`...; logits [rows, vocabulary] at each row's last token."""
        lengths = torch.tensor([len(row) for row in ids])
        rows = slice(first, first + len(ids))
        kv.select(rows.start, rows.stop)
        padded = torch.zeros(len(ids), int(lengths.max()), dtype=torch.long)
        for index, row in enumerate(ids):
            padded[index, : len(row)] = torch.tensor(row)
        start = len(kv.prefix) + kv.lengths[rows]
        positions = start[:, None] + torch.arange(padded.shape[1])
        hidden = self._model.base_model(
            input_ids=padded.to(self._device),
            position_ids=positions.to(self._device),
            use_cache=False,
            kv=kv,
        ).last_hidden_state
        kv.lengths[rows] += lengths
        last = hidden[torch.arange(len(ids)), lengths - 1]
        logits: torch.Tensor = self._model.get_output_embeddings()(last)
        return logits

    def _take_all(self, rows: list[Row], logits: torch.Tensor) -> None:
        best = logits.argmax(dim=-1).tolist()
        for row, scores, token in zip(rows, logits, best, strict=True):
            if row.temperature == 0 and row.grammar is None:
                self._append(row, token)
            else:
                self._take(row, scores)

    def _take(self, row: Row, logits: torch.Tensor) -> None:
        """Choose the next token of `row` from `logits` [vocabulary]."""
        if row.temperature == 0:
            token = int(logits.argmax())
            if row.grammar is not None and not row.grammar.allows(token):
                token = int(row.grammar.mask(logits).argmax())
        else:
            if row.grammar is not None:
                logits = row.grammar.mask(logits)
            weights = torch.softmax(logits.float().cpu() / row.temperature, dim=-1)
            token = int(torch.multinomial(weights, 1, generator=row.sampler))
        self._append(row, token)

    def _append(self, row: Row, token: int) -> None:
        row.tokens.append(token)
        complete = row.grammar is not None and row.grammar.advance(token)
        row.finished = complete or token in self._stop


def _remove_ended(active: list[Row], kv: KeyValues) -> Iterator[Row]:
    """Yield the rows that ended and close their gaps in `active` and `kv` alike."""
    for index in range(len(active) - 1, -1, -1):
        row = active[index]
        if row.finished or len(row.tokens) >= row.max_tokens:
            kv.drop(index)
            active[index] = active[-1]
            active.pop()
            yield row


def _prefill_passes(rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
    """Cut length-sorted rows into passes of bounded padded size."""
    first = 0
    for last in range(1, len(rows) + 1):
        if last < len(rows) and (last + 1 - first) * len(rows[last].prompt) <= _PREFILL_TOKENS:
            continue
        yield first, last
        first = last
