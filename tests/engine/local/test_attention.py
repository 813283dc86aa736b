"""Attention of prompts that enter and of rows under way, against torch's own over one row."""

from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from trimtab.engine.local.attention import KeyValues, Prefix, shared_prefix_attention

HEADS, KV_HEADS, SIZE = 6, 2, 8
LAYER = SimpleNamespace(layer_idx=0)
SCALING = SIZE**-0.5


def random(rows: int, heads: int, tokens: int) -> torch.Tensor:
    return torch.randn(rows, heads, tokens, SIZE)


def behind(shared: int) -> Prefix:
    prefix = Prefix(tuple(range(shared)))
    prefix.keys.append(torch.randn(KV_HEADS, shared, SIZE))
    prefix.values.append(torch.randn(KV_HEADS, shared, SIZE))
    return prefix


def expected(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Causal attention of one row's last tokens, [heads, new, size] -> [new, heads, size]."""
    new, seen = query.shape[1], key.shape[1]
    mask = torch.ones(new, seen, dtype=torch.bool).tril(seen - new)
    key, value = (each.repeat_interleave(HEADS // KV_HEADS, 0) for each in (key, value))
    out = functional.scaled_dot_product_attention(query, key, value, mask, scale=SCALING)
    return out.transpose(0, 1)


@pytest.mark.parametrize("shared", [0, 5])
@pytest.mark.parametrize("new", [1, 127, 128, 129, 300])
def test_a_prompt_sees_the_prefix_and_what_precedes_each_token(shared, new):
    prefix = behind(shared)
    kv = KeyValues(prefix, rows=2, capacity=new, layers=1)
    kv.admit(2)
    kv.select(0, 2)
    query, key, value = random(2, HEADS, new), random(2, KV_HEADS, new), random(2, KV_HEADS, new)
    out, _ = shared_prefix_attention(LAYER, query, key, value, None, SCALING, kv)
    for row in range(2):
        keys = torch.cat([prefix.keys[0], key[row]], dim=1)
        values = torch.cat([prefix.values[0], value[row]], dim=1)
        torch.testing.assert_close(out[row], expected(query[row], keys, values))


@pytest.mark.parametrize("capacity", [24, 40, 400])
def test_a_row_under_way_sees_nothing_that_other_rows_left_behind(capacity):
    """Whether only the places in use are read or, where they are most of them, all."""
    prefix = behind(3)
    kv = KeyValues(prefix, rows=3, capacity=capacity, layers=1)
    kv.admit(3)
    kv.select(0, 3)
    lengths = [20, 4, 11]
    key, value = random(3, KV_HEADS, 20), random(3, KV_HEADS, 20)
    shared_prefix_attention(LAYER, random(3, HEADS, 20), key, value, None, SCALING, kv)
    kv.lengths[:3] = torch.tensor(lengths)
    kv.select(0, 3)
    query, more_key, more_value = (
        random(3, HEADS, 2),
        random(3, KV_HEADS, 2),
        random(3, KV_HEADS, 2),
    )
    out, _ = shared_prefix_attention(LAYER, query, more_key, more_value, None, SCALING, kv)
    for row, length in enumerate(lengths):
        keys = torch.cat([prefix.keys[0], key[row, :, :length], more_key[row]], dim=1)
        values = torch.cat([prefix.values[0], value[row, :, :length], more_value[row]], dim=1)
        torch.testing.assert_close(out[row], expected(query[row], keys, values))
