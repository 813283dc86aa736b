"""Numbers in place of texts, so that millions of rows can be grouped without being kept."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers: TypeAlias = NDArray[np.int64]


def digest(text: str) -> int:
    """64 bits of `text`. Two of a million different texts share them once in 30 million runs."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest())


def digests(texts: Iterable[str]) -> NDArray[np.uint64]:
    """The digest of each text, 8 bytes a text."""
    return np.fromiter(map(digest, texts), dtype=np.uint64)


def numbered(keys: ArrayLike) -> Numbers:
    """Equal keys get equal numbers, which count up by first appearance; shape as `keys`."""
    _, first, inverse = np.unique(np.asarray(keys), return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def connected(groupings: Iterable[ArrayLike], count: int) -> Numbers:
    """Sets of 0..count-1 that any chain of equal keys ties together, numbered by appearance.

    Args:
        groupings: each gives every item a key; a negative integer key ties to nothing.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    items, nodes, size = [], [], count
    for keys in groupings:
        given = np.asarray(keys)
        tied = np.flatnonzero(given >= 0)
        _, group = np.unique(given[tied], return_inverse=True)
        items.append(tied)
        nodes.append(group + size)
        size += len(tied)
    rows, columns = np.concatenate(items), np.concatenate(nodes)
    ties = coo_array((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(size, size))
    return numbered(connected_components(ties, directed=False)[1][:count])
