"""Rows behind one prefix, which enter and leave between any two passes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import torch

from trimtab.engine.local.attention import KeyValues, Prefix
from trimtab.engine.local.decode import Decoder, Row, remove_ended
from trimtab.engine.local.lookup import Lookup

_ENTERING_TOKENS = 512
"""Prompts that enter in one pass: the rows under way wait for it."""

_CAPACITY_STEP = 128
"""A row that is a little longer than the others must not move them all to larger places."""

_REMEMBERED_TOKENS = 20_000
"""Of answers, to guess from; after that it begins anew, with what is asked now."""


class Batch:
    """Rows under way, and rows that wait. They enter in the order of their arrival."""

    def __init__(self, decoder: Decoder, prefix: Prefix) -> None:
        self.prefix = prefix
        self._decoder = decoder
        self._waiting: deque[Row] = deque()
        self._active: list[Row] = []
        self._kv: KeyValues | None = None

    def add(self, row: Row) -> None:
        """Let `row` enter as soon as there is room."""
        self._waiting.append(row)

    @torch.inference_mode()
    def advance(self, batches: int) -> list[Row]:
        """One pass over prompts that enter, where any do, and one over the rows under way.

        Gives the rows that ended. `batches` share the memory for keys and values.
        """
        ended = self._ended()
        entering, capacity = self._entering(batches)
        if entering:
            kv = self._room(len(self._active) + len(entering), capacity, batches)
            longest_first = sorted(entering, key=lambda row: len(row.prompt), reverse=True)
            places = len(self._active) + len(entering)
            self._decoder.admit(deque(longest_first), self._active, kv, places)
            ended += self._ended()
        if self._active:
            assert self._kv is not None
            self._decoder.step(self._active, self._kv, self.prefix.seen)
            ended += self._ended()
        return ended

    def _entering(self, batches: int) -> tuple[list[Row], int]:
        """The first of the waiting rows that fit into memory and one pass, and how many tokens a
        row may then have. None overtakes another."""
        entering: list[Row] = []
        longest, most = 0, max((row.most_tokens for row in self._active), default=0)
        while self._waiting:
            row = self._waiting[0]
            longest, most = max(longest, len(row.prompt)), max(most, row.most_tokens)
            rows = len(entering) + 1
            if len(self._active) + rows > self._decoder.places(_rounded(most), batches):
                break
            if entering and rows * longest > _ENTERING_TOKENS:
                break
            entering.append(self._waiting.popleft())
        rows_then = (*self._active, *entering)
        return entering, _rounded(max((row.most_tokens for row in rows_then), default=0))

    def _room(self, rows: int, capacity: int, batches: int) -> KeyValues:
        """Keys and values with places for `rows`, those under way included: twice as many as
        before where there were too few, and no longer than needed."""
        kv = self._kv
        if kv is None or not self._active:
            kv = self._kv = self._decoder.key_values(self.prefix, rows, capacity)
        elif rows > kv.rows or capacity > kv.capacity or 2 * capacity <= kv.capacity:
            wanted = 2 * kv.rows if rows > kv.rows else kv.rows
            kv.resize(min(max(rows, wanted), self._decoder.places(capacity, batches)), capacity)
        return kv

    def _ended(self) -> list[Row]:
        """Take out the rows that are over, and remember what they say."""
        self._waiting = deque(row for row in self._waiting if not row.ended)
        if self._kv is None:
            return []
        ended = list(remove_ended(self._active, self._kv))
        for row in ended:
            self._remember(row.tokens)
        return ended

    def _remember(self, tokens: Sequence[int]) -> None:
        if len(self.prefix.seen) > len(self.prefix) + _REMEMBERED_TOKENS:
            self.prefix.seen = Lookup()
            self.prefix.seen.extend(self.prefix.tokens)
        self.prefix.seen.extend(tokens)


def _rounded(tokens: int) -> int:
    return -(-tokens // _CAPACITY_STEP) * _CAPACITY_STEP
