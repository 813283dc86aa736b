"""Attention over keys and values that calls share.

A variant's calls start with the same tokens. Their keys and values are computed once, kept once,
and read by all rows of a batch as one matrix product; each row owns only what follows. Rows are
padded on the right, so a row's tokens sit at consecutive positions and causality hides the padding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional

from trimtab.engine.local.lookup import Lookup

ATTENTION = "trimtab"
"""Name under which transformers finds this attention."""

_BLOCK = 128
"""New tokens at a time, of a prompt that enters: their scores stay in a processor's cache."""


class Prefix:
    """Keys and values of a shared prefix: per layer two tensors [kv heads, tokens, head size]."""

    def __init__(self, tokens: tuple[int, ...]) -> None:
        self.tokens = tokens
        self.keys: list[torch.Tensor] = []
        self.values: list[torch.Tensor] = []
        self.seen = Lookup()
        """This prefix's tokens and the answers of timed and served calls, for guessing."""
        self.seen.extend(tokens)

    def __len__(self) -> int:
        return len(self.tokens)


class KeyValues:
    """The growing keys and values of a batch: per layer [rows, kv heads, capacity, head size].

    `lengths` counts each row's own tokens so far. The first `active` rows take part; a row that
    ends is replaced by the last active one, so that the active rows stay a view without a copy,
    and rows admitted later take the places behind them.
    """

    def __init__(self, prefix: Prefix, rows: int, capacity: int, layers: int) -> None:
        self.prefix = prefix
        self.capacity = capacity
        self.lengths = torch.zeros(rows, dtype=torch.long)
        self.active = 0
        self._keys: list[torch.Tensor | None] = [None] * layers
        self._values: list[torch.Tensor | None] = [None] * layers
        self._writing = slice(0, rows)
        self.beginning = True
        """Whether the rows of the next pass hold no tokens yet."""

    @property
    def rows(self) -> int:
        """How many rows there is room for."""
        return len(self.lengths)

    def resize(self, rows: int, capacity: int) -> None:
        """Make room for `rows` rows of `capacity` tokens: at least what the active ones hold."""
        kept = self.active
        lengths = self.lengths[:kept]
        used = int(lengths.max()) if kept else 0
        for kind in (self._keys, self._values):
            for layer, old in enumerate(kind):
                assert old is not None
                new = old.new_zeros(rows, old.shape[1], capacity, old.shape[3])
                new[:kept, :, :used] = old[:kept, :, :used]
                kind[layer] = new
        self.lengths = torch.zeros(rows, dtype=torch.long)
        self.lengths[:kept] = lengths
        self.capacity = capacity

    def forget(self, row: int, tokens: int) -> None:
        """Take back the last `tokens` tokens of `row`."""
        self.lengths[row] -= tokens

    def admit(self, rows: int) -> None:
        """Begin `rows` more rows, without tokens yet."""
        self.lengths[self.active : self.active + rows] = 0
        self.active += rows

    def select(self, first: int, last: int) -> None:
        """Direct the next forward pass to rows `first` to `last`: all new, or all under way."""
        self._writing = slice(first, last)
        self.beginning = not self.lengths[first:last].any()

    @property
    def starts(self) -> torch.Tensor:
        """How many tokens each row of the next pass holds."""
        return self.lengths[self._writing]

    def write(
        self, layer: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store new keys and values ([rows, kv heads, new, head size]); give all of those rows,
        and places behind them that may hold anything finite."""
        keys, values = self._keys[layer], self._values[layer]
        if keys is None or values is None:
            # Zeros, not empty: masked positions get weight 0, and 0 x NaN would be NaN.
            shape = (len(self.lengths), key.shape[1], self.capacity, key.shape[3])
            keys, values = key.new_zeros(shape), value.new_zeros(shape)
            self._keys[layer], self._values[layer] = keys, values
        rows, new = self._writing, key.shape[2]
        starts = self.starts
        if self.beginning:
            keys[rows, :, :new], values[rows, :, :new] = key, value
            return key, value
        index = torch.arange(rows.start, rows.stop)[:, None]
        places = starts[:, None] + torch.arange(new)
        keys[index, :, places] = key.transpose(1, 2)
        values[index, :, places] = value.transpose(1, 2)
        reach = int(starts.max()) + new
        if 2 * reach > self.capacity:
            # A product with a part of the places copies it first; to read all is several times
            # as fast, and what no row holds yet is hidden anyway.
            reach = self.capacity
        return keys[rows, :, :reach], values[rows, :, :reach]

    def copy(self, row: int, places: range) -> None:
        """Give the rows at `places` the tokens of `row`."""
        if not places:
            return
        used = int(self.lengths[row])
        for kept in (*self._keys, *self._values):
            assert kept is not None
            kept[places.start : places.stop, :, :used] = kept[row, :, :used]
        self.lengths[places.start : places.stop] = used

    def drop(self, row: int) -> None:
        """End `row`: the last active row takes its place."""
        last = self.active - 1
        if row != last:
            self.copy(last, range(row, row + 1))
        self.active = last

    def to_prefix(self, tokens: tuple[int, ...]) -> Prefix:
        """The keys and values of row 0 as a prefix for other batches."""
        prefix = Prefix(tokens)
        for keys, values in zip(self._keys, self._values, strict=True):
            assert keys is not None and values is not None
            prefix.keys.append(keys[0].contiguous())
            prefix.values.append(values[0].contiguous())
        return prefix


def shared_prefix_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    kv: KeyValues | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: [rows, heads, new, size] -> [rows, new, heads, size].

    Without `kv` (training, scoring) it is plain causal attention over the batch.
    """
    if kv is None:
        out = functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=True
        )
        return out.transpose(1, 2), None
    layer, prefix = module.layer_idx, kv.prefix
    key, value = kv.write(layer, key, value)
    if not kv.beginning:
        return _few_tokens(layer, query, key, value, prefix, kv.starts, scaling), None
    if len(prefix):
        key, value = _after(prefix.keys[layer], key), _after(prefix.values[layer], value)
    return _by_blocks(query, key, value, scaling), None


def _after(prefix: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Each row's keys or values behind those of the prefix."""
    return torch.cat([prefix.expand(own.shape[0], -1, -1, -1), own], dim=2)


def _by_blocks(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float
) -> torch.Tensor:
    """Causal attention of the last tokens of `key`, [rows, heads, new, size] -> [rows, new, heads,
    size]: a block of them at a time, with the keys up to its end.

    torch's own attention needs a mask behind a prefix, computes what it hides too, and takes up to
    twice as long on two cores.
    """
    rows, heads, new, size = query.shape
    kv_heads, shared = key.shape[1], key.shape[2] - new
    out = query.new_empty(rows, new, heads, size)
    query = query * scaling
    for first in range(0, new, _BLOCK):
        last = min(first + _BLOCK, new)
        some, seen = last - first, shared + last
        block = query[:, :, first:last].reshape(rows, kv_heads, -1, size)
        scores = block @ key[:, :, :seen].transpose(2, 3)
        future = torch.ones(some, some, dtype=torch.bool, device=query.device).triu(1)
        scores.view(rows, heads, some, seen)[..., -some:].masked_fill_(future, float("-inf"))
        found = torch.softmax(scores, dim=-1) @ value[:, :, :seen]
        out[:, first:last] = found.view(rows, heads, some, size).transpose(1, 2)
    return out


def _few_tokens(
    layer: int,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    prefix: Prefix,
    starts: torch.Tensor,
    scaling: float,
) -> torch.Tensor:
    """Attention of a few new tokens per row, which follow the `starts[i]` that row i had.

    All rows read the same prefix, so that part is one product per head, not one per row and head.
    """
    rows, heads, new, size = query.shape
    kv_heads, used, shared = key.shape[1], key.shape[2], len(prefix)
    readers = heads // kv_heads * new
    query = (query * scaling).reshape(rows, kv_heads, readers, size)
    scores = query.new_empty(rows, kv_heads, readers, shared + used)
    if shared:
        stacked = query.transpose(0, 1).reshape(kv_heads, rows * readers, size)
        over_prefix = stacked @ prefix.keys[layer].transpose(1, 2)
        scores[..., :shared] = over_prefix.view(kv_heads, rows, readers, shared).transpose(0, 1)
    scores[..., shared:] = query @ key.transpose(2, 3)
    # A new token sees its row's earlier tokens, the new ones before it, and itself.
    hidden = torch.arange(used) > (starts[:, None] + torch.arange(new))[..., None]
    by_token = scores.view(rows, heads, new, shared + used)[..., shared:]
    by_token.masked_fill_(hidden[:, None].to(query.device), float("-inf"))
    weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    out = weights[..., shared:] @ value
    if shared:
        stacked = weights[..., :shared].transpose(0, 1).reshape(kv_heads, -1, shared)
        from_prefix = stacked @ prefix.values[layer]
        out += from_prefix.view(kv_heads, rows, readers, size).transpose(0, 1)
    return out.view(rows, heads, new, size).transpose(1, 2)


def register_attention() -> None:
    """Make this attention known to transformers. Without a mask function it gets no mask."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, shared_prefix_attention)
