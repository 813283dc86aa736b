"""Decodes a batch of rows behind a shared prefix: greedy or sampled, free or constrained."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from trimtab.engine.local import llama
from trimtab.engine.local.attention import KeyValues, Prefix
from trimtab.engine.local.grammar import GrammarState
from trimtab.engine.local.linears import Linears
from trimtab.engine.local.lookup import Lookup
from trimtab.engine.local.weights import LoadedModel

_PREFILL_TOKENS = 2048
"""Tokens in one prefill pass: enough to keep two cores busy, few enough to stay in the cache."""

_MOST_ROWS = 128
"""Beyond some hundred rows a pass takes as much longer as it answers more."""

_KEY_VALUE_BYTES = 3 << 30
"""Memory for the keys and values of rows in the making."""

_REFILL = 8
"""Waiting rows enter when an eighth of the places is free: their prompts run as one pass."""

_TOKENS_AT_ONCE = 16
_MOST_GUESSED = 7
"""A pass over up to some 16 tokens takes hardly longer than one over as many rows."""


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
    own: Lookup | None = None
    """Prompt and answer so far, to guess from; made when guessing begins to pay."""
    finished: bool = False
    """Ended by itself, not cut at `max_tokens`."""
    error: Exception | None = None
    """Why no further token could be chosen; the other rows go on."""
    left: bool = False
    """Nobody waits for it any more."""

    @property
    def ended(self) -> bool:
        over = self.finished or self.left or self.error is not None
        return over or len(self.tokens) >= self.max_tokens

    @property
    def most_tokens(self) -> int:
        """Tokens that may have to be kept, guessed ones included."""
        return len(self.prompt) + self.max_tokens + _MOST_GUESSED


class Decoder:
    """Runs the forward passes of one loaded model."""

    def __init__(self, loaded: LoadedModel, linears: Linears) -> None:
        self._model = loaded.model
        self._linears = linears
        self._device = loaded.device
        self._stop = loaded.stop_tokens
        self._config = loaded.model.config
        self._is_llama = llama.fits(loaded.model)

    @torch.inference_mode()
    def prefix(self, tokens: Sequence[int]) -> Prefix:
        """Compute the keys and values of `tokens` once."""
        empty = Prefix(())
        if not tokens:
            return empty
        kv = self.key_values(empty, 1, len(tokens))
        kv.admit(1)
        self._forward([list(tokens)], kv, 0, every=False)
        return kv.to_prefix(tuple(tokens))

    @torch.inference_mode()
    def run(self, rows: Sequence[Row], prefix: Prefix, seen: Lookup) -> Iterator[Row]:
        """Decode `rows` together, yielding each as it ends; rows that wait take its place.

        `seen` is text to guess from, and grows by the answers. What went wrong in a row is raised.
        """
        # The longest first: what comes later fits into the places of what came before.
        waiting = deque(sorted(rows, key=lambda row: len(row.prompt), reverse=True))
        capacity = max(row.most_tokens for row in rows)
        places = min(len(rows), self.places(capacity))
        kv = self.key_values(prefix, places, capacity)
        active: list[Row] = []
        while active or waiting:
            if waiting and (places - len(active)) * _REFILL >= min(places, len(waiting) * _REFILL):
                self.admit(waiting, active, kv, places)
            else:
                self.step(active, kv, seen)
            for row in remove_ended(active, kv):
                if row.error is not None:
                    raise row.error
                seen.extend(row.tokens)
                yield row

    def key_values(self, prefix: Prefix, rows: int, capacity: int) -> KeyValues:
        """Room behind `prefix` for `rows` rows of up to `capacity` tokens."""
        return KeyValues(prefix, rows, capacity, self._config.num_hidden_layers)

    def places(self, capacity: int, batches: int = 1) -> int:
        """How many rows of `capacity` tokens may be in memory at a time, in each of `batches`."""
        config = self._config
        heads = config.num_key_value_heads * (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        row_bytes = 2 * config.num_hidden_layers * heads * capacity * self._model.dtype.itemsize
        return max(1, min(_MOST_ROWS, _KEY_VALUE_BYTES // batches // int(row_bytes)))

    def admit(self, waiting: deque[Row], active: list[Row], kv: KeyValues, places: int) -> None:
        """Fill free places, and choose the first token of each row that takes one.

        The longest of `waiting` come first. Equal prompts, as of sampled answers to one input, are
        computed once.
        """
        entering = [waiting.popleft() for _ in range(min(places - len(active), len(waiting)))]
        groups = _by_prompt(entering)
        offset, others = len(active), len(active) + len(groups)
        kv.admit(len(entering))
        for first, last in _prefill_passes([group[0] for group in groups]):
            prompts = [group[0].prompt for group in groups[first:last]]
            logits = self._forward(prompts, kv, offset + first, every=False)[:, 0]
            for group, scores in zip(groups[first:last], logits, strict=True):
                for row in group:
                    self._take(row, scores)
        for place, group in enumerate(groups, offset):
            kv.copy(place, range(others, others := others + len(group) - 1))
        active += [group[0] for group in groups]
        active += [row for group in groups for row in group[1:]]

    def step(self, active: Sequence[Row], kv: KeyValues, seen: Lookup) -> None:
        """One more token for each row, and as many guessed ones as turn out right."""
        room = min(_TOKENS_AT_ONCE // len(active) - 1, _MOST_GUESSED)
        guesses = [_guess(row, seen, room) if room > 0 else [] for row in active]
        ids = [[row.tokens[-1], *guess] for row, guess in zip(active, guesses, strict=True)]
        logits = self._forward(ids, kv, 0, every=True)
        best = logits.argmax(dim=-1).tolist()
        for index, (row, guess) in enumerate(zip(active, guesses, strict=True)):
            right = self._check(row, guess, logits[index], best[index])
            kv.forget(index, len(guess) - right)

    def _forward(
        self, ids: list[list[int]], kv: KeyValues, first: int, *, every: bool
    ) -> torch.Tensor:
        """One pass over rows `first`...; logits [rows, new, vocabulary], of `every` new token or,
        as [rows, 1, vocabulary], of each row's last."""
        lengths = torch.tensor([len(row) for row in ids])
        rows = slice(first, first + len(ids))
        kv.select(rows.start, rows.stop)
        padded = torch.zeros(len(ids), int(lengths.max()), dtype=torch.long)
        for index, row in enumerate(ids):
            padded[index, : len(row)] = torch.tensor(row)
        start = len(kv.prefix) + kv.lengths[rows]
        positions = start[:, None] + torch.arange(padded.shape[1])
        padded, positions = padded.to(self._device), positions.to(self._device)
        last = None if every else lengths - 1
        if self._is_llama:
            states = llama.states(self._model, self._linears, padded, positions, last, kv)
        else:
            states = self._model.base_model(
                input_ids=padded, position_ids=positions, use_cache=False, kv=kv
            ).last_hidden_state
            if last is not None:
                states = states[torch.arange(len(ids)), last][:, None]
        kv.lengths[rows] += lengths
        return self._linears(self._model.get_output_embeddings(), states)

    def _check(self, row: Row, guess: list[int], logits: torch.Tensor, best: list[int]) -> int:
        """Take tokens while they are as guessed, and the one that is not; how many were right."""
        for place, guessed in enumerate([*guess, None]):
            if row.temperature == 0 and row.grammar is None:
                self._append(row, best[place])
            else:
                self._take(row, logits[place])
            if row.ended or row.tokens[-1] != guessed:
                return place
        return len(guess)

    def _take(self, row: Row, logits: torch.Tensor) -> None:
        """Choose the next token of `row` from `logits` [vocabulary]."""
        try:
            self._append(row, _chosen(row, logits))
        except Exception as error:  # of a grammar or a draw: the pass holds other rows too
            row.error = error

    def _append(self, row: Row, token: int) -> None:
        row.tokens.append(token)
        complete = row.grammar is not None and row.grammar.advance(token)
        row.finished = complete or token in self._stop


def _chosen(row: Row, logits: torch.Tensor) -> int:
    if row.temperature == 0:
        token = int(logits.argmax())
        if row.grammar is not None and not row.grammar.allows(token):
            token = int(row.grammar.mask(logits).argmax())
        return token
    if row.grammar is not None:
        logits = row.grammar.mask(logits)
    weights = torch.softmax(logits.float().cpu() / row.temperature, dim=-1)
    return int(torch.multinomial(weights, 1, generator=row.sampler))


def _guess(row: Row, seen: Lookup, most: int) -> list[int]:
    """What may follow: as in the row's own text, or as in `seen` where more tokens agree there."""
    if row.own is None:
        row.own = Lookup()
        row.own.extend(row.prompt)
    row.own.extend(row.tokens[len(row.own) - len(row.prompt) :])
    most = min(most, row.max_tokens - len(row.tokens) - 1)
    own, own_agree = row.own.guess(row.tokens, most)
    others, others_agree = seen.guess(row.tokens, most)
    return others if others_agree > own_agree else own


def _by_prompt(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows with equal prompts together, in the order of their first ones."""
    groups: dict[tuple[int, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.prompt), []).append(row)
    return list(groups.values())


def remove_ended(active: list[Row], kv: KeyValues) -> Iterator[Row]:
    """Yield the rows that ended and close their gaps in `active` and `kv` alike."""
    for index in range(len(active) - 1, -1, -1):
        row = active[index]
        if row.ended:
            kv.drop(index)
            active[index] = active[-1]
            active.pop()
            yield row


def _prefill_passes(rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
    """Cut rows, the longest first, into passes of bounded padded size."""
    first = 0
    for last in range(1, len(rows) + 1):
        if last < len(rows) and (last + 1 - first) * len(rows[first].prompt) <= _PREFILL_TOKENS:
            continue
        yield first, last
        first = last
