"""Near-duplicate texts, so that a row and its twin never sit on both sides of a split.

MinHash signatures of character 5-shingles, banded into buckets (locality-sensitive hashing;
Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3), of which only
16 bits are kept (b-bit minwise hashing; Li and König 2010). Every pair that a bucket proposes is
confirmed by its exact Jaccard similarity. Texts that share a bucket are compared with a bounded
number of neighbours, so the cost is linear in the number of texts; 150 bytes are kept of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from trimtab.task.codes import digest, numbered

SHINGLE = 5
MIN_CHARACTERS = 20
"""Below this a text has so few shingles that one changed character moves Jaccard by more than the
threshold leaves room for: shorter texts are duplicates only where equal once normalised."""

BANDS, ROWS = 16, 4
"""A pair of similarity s shares a bucket with probability 1 - (1 - s^4)^16: 0.9998 at 0.8. Four
hashes of 16 bits are one 64-bit key."""

NEIGHBOURS = 8
"""How many earlier members of a bucket an item is compared with. Texts enter in the order of their
first characters, so that in a crowded bucket the neighbours are those that begin alike."""

SLACK = 0.15
"""How far below the threshold the similarity that two signatures suggest may lie before the exact
one is no longer computed: three standard errors, sqrt(0.8 * 0.2 / 64) each."""

_BLOCK_CHARACTERS = 1 << 16
_PAIRS = 1 << 16
_REMEMBERED = 4096

_Words: TypeAlias = NDArray[np.uint32]
_Places: TypeAlias = NDArray[np.int64]
_Signatures: TypeAlias = NDArray[np.uint16]
_Keys: TypeAlias = NDArray[np.uint64]


def normalised(text: str) -> str:
    """`text` casefolded, with every run of whitespace as one space and none around it."""
    return " ".join(text.casefold().split())


def near_duplicate_clusters(texts: Sequence[str], threshold: float = 0.8) -> list[int]:
    """Cluster of each text: two texts that are near duplicates have the same number.

    Near means equal once normalised or, from `MIN_CHARACTERS` on, a Jaccard similarity of the
    5-shingles of at least `threshold`; being near is passed on along chains. Which texts belong
    together does not depend on their order; the numbers count up by first appearance.

    `texts` is read through once, and at single places to confirm pairs, so it may lie on disk.
    """
    keys, starts, places, signatures = _read(texts)
    _, first, same = np.unique(keys, return_index=True, return_inverse=True)
    # One of each set of equal texts stands for it. In order of first characters, then of digest.
    kept = np.flatnonzero(np.isin(places, first))
    kept = kept[np.lexsort((keys[places[kept]], starts[kept]))]
    places, signatures = places[kept], signatures[kept]
    sets = DisjointSets(len(places))

    @lru_cache(_REMEMBERED)
    def shingles_at(item: int) -> frozenset[str]:
        return shingles(normalised(texts[int(places[item])]))

    for a, b in _candidates(signatures, threshold - SLACK):
        if sets.find(a) != sets.find(b) and jaccard(shingles_at(a), shingles_at(b)) >= threshold:
            sets.join(a, b)
    cluster = np.arange(len(first))
    cluster[same[places]] = same[places[sets.roots()]]
    return [int(number) for number in numbered(cluster[same])]


def _read(texts: Sequence[str]) -> tuple[_Keys, _Keys, _Places, _Signatures]:
    """What one pass keeps: the digest of every text; and of those that are long enough, the first
    8 bytes, the place in `texts`, and the signature."""
    keys = np.empty(len(texts), dtype=np.uint64)
    starts: list[int] = []
    places: list[int] = []
    signatures: list[_Signatures] = []
    block: list[str] = []
    characters = 0
    for place, text in enumerate(map(normalised, texts)):
        keys[place] = digest(text)
        if len(text) < MIN_CHARACTERS:
            continue
        starts.append(int.from_bytes(text[:8].encode(errors="surrogatepass")[:8]))
        places.append(place)
        block.append(text)
        characters += len(text)
        if characters >= _BLOCK_CHARACTERS:
            signatures.append(_signatures(block))
            block, characters = [], 0
    signatures.append(_signatures(block))
    return (
        keys,
        np.array(starts, dtype=np.uint64),
        np.array(places, dtype=np.int64),
        np.concatenate(signatures),
    )


def _candidates(signatures: _Signatures, estimate: float) -> Iterator[tuple[int, int]]:
    """Pairs that share a bucket and whose signatures agree in at least this share; with repeats."""
    bands = signatures.view(np.uint64)
    for band in range(BANDS):
        for first, second in bucket_pairs(bands[:, band]):
            agreement = (signatures[first] == signatures[second]).mean(axis=1)
            close = agreement >= estimate
            yield from zip(first[close].tolist(), second[close].tolist(), strict=True)


def bucket_pairs(keys: _Keys) -> Iterator[tuple[_Places, _Places]]:
    """Items with equal keys, each with the `NEIGHBOURS` before it, in blocks of pairs."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    for lag in range(1, min(NEIGHBOURS, len(keys) - 1) + 1):
        equal = np.flatnonzero(ordered[lag:] == ordered[:-lag])
        for start in range(0, len(equal), _PAIRS):
            block = equal[start : start + _PAIRS]
            yield order[block], order[block + lag]


class DisjointSets:
    """Union-find over 0..n-1."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def find(self, item: int) -> int:
        while self._parent[item] != item:
            self._parent[item] = self._parent[self._parent[item]]
            item = self._parent[item]
        return item

    def join(self, a: int, b: int) -> None:
        first, second = sorted((self.find(a), self.find(b)))
        self._parent[second] = first

    def roots(self) -> list[int]:
        return [self.find(item) for item in range(len(self._parent))]


def shingles(text: str) -> frozenset[str]:
    """The 5-character windows of `text`."""
    return frozenset(text[start : start + SHINGLE] for start in range(len(text) - SHINGLE + 1))


def jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def _signatures(texts: Sequence[str]) -> _Signatures:
    """MinHash of the shingles of each text, shape (len(texts), BANDS * ROWS); none may be short.

    The hash functions are linear permutations of 32 bits; the low half of each minimum is kept.
    """
    codes = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), dtype="<u4")
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    windows = _windows(codes)
    ends = np.cumsum(lengths)
    between_texts = (ends[:-1, None] - np.arange(1, SHINGLE)).ravel()
    windows = np.delete(windows, between_texts)
    starts = (ends - lengths) - np.arange(len(texts)) * (SHINGLE - 1)
    found = np.empty((len(texts), BANDS * ROWS), dtype=np.uint16)
    if texts:
        for column, (factor, offset) in enumerate(_HASHES):
            found[:, column] = np.minimum.reduceat(windows * factor + offset, starts)
    return found


def _windows(codes: _Words) -> _Words:
    """A well-mixed hash of the window that begins at each place, as far as one fits."""
    count = max(len(codes) - SHINGLE + 1, 0)
    mixed = np.zeros(count, dtype=np.uint32)
    for offset in range(SHINGLE):
        mixed = (mixed ^ codes[offset : offset + count]) * np.uint32(0x9E3779B1)
        mixed ^= mixed >> np.uint32(15)
    mixed *= np.uint32(0x85EBCA6B)
    mixed ^= mixed >> np.uint32(13)
    return mixed


_HASHES = np.random.default_rng(20_011).integers(
    0, 2**32, size=(BANDS * ROWS, 2), dtype=np.uint32
) | np.array([1, 0], dtype=np.uint32)
