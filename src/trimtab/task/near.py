"""Near-duplicate texts, so that a row and its twin never sit on both sides of a split.

MinHash signatures of character 5-shingles, banded into buckets (locality-sensitive hashing;
Broder 1997; Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3). Every pair
that a bucket proposes is confirmed by its exact Jaccard similarity. Texts that share a bucket are
compared with a bounded number of neighbours, so the cost is linear in the number of texts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
MIN_CHARACTERS = 20
"""Below this a text has so few shingles that one changed character moves Jaccard by more than the
threshold leaves room for: shorter texts are duplicates only where equal once normalised."""

BANDS, ROWS = 24, 5
"""A pair of similarity s shares a bucket with probability 1 - (1 - s^5)^24: 0.9999 at 0.8."""

NEIGHBOURS = 8
"""How many earlier members of a bucket a text is compared with. Texts enter in sorted order, so
that in a crowded bucket the neighbours are those that begin alike."""

SLACK = 0.15
"""How far below the threshold the similarity that two signatures suggest may lie before the exact
one is no longer computed: four standard errors, sqrt(0.8 * 0.2 / 120) each."""

_BLOCK = 4096

_Words: TypeAlias = NDArray[np.uint64]
_Signature: TypeAlias = NDArray[np.uint32]


def normalised(text: str) -> str:
    """`text` casefolded, with every run of whitespace as one space and none around it."""
    return " ".join(text.casefold().split())


def near_duplicate_clusters(texts: Sequence[str], threshold: float = 0.8) -> list[int]:
    """Cluster of each text: two texts that are near duplicates have the same number.

    Near means equal once normalised or, from `MIN_CHARACTERS` on, a Jaccard similarity of the
    5-shingles of at least `threshold`; being near is passed on along chains. Which texts belong
    together does not depend on their order; the numbers count up by first appearance.
    """
    keys = [normalised(text) for text in texts]
    distinct = sorted(set(keys))
    sets = DisjointSets(len(distinct))
    longer = [i for i, key in enumerate(distinct) if len(key) >= MIN_CHARACTERS]
    compared: set[tuple[int, int]] = set()
    for first, second in _candidates([distinct[i] for i in longer], threshold - SLACK):
        a, b = longer[first], longer[second]
        if (a, b) not in compared and sets.find(a) != sets.find(b):
            compared.add((a, b))
            if jaccard(shingles(distinct[a]), shingles(distinct[b])) >= threshold:
                sets.join(a, b)
    place = {key: sets.find(i) for i, key in enumerate(distinct)}
    numbers: dict[int, int] = {}
    return [numbers.setdefault(place[key], len(numbers)) for key in keys]


def _candidates(texts: Sequence[str], estimate: float) -> Iterator[tuple[int, int]]:
    """Pairs that share a bucket and whose signatures agree in at least this share; with repeats."""
    signatures = np.array([_signature(shingles(text)) for text in texts], dtype=np.uint32)
    for band in range(BANDS):
        buckets: dict[bytes, deque[int]] = {}
        for second, signature in enumerate(signatures):
            key = signature[band * ROWS : (band + 1) * ROWS].tobytes()
            bucket = buckets.setdefault(key, deque(maxlen=NEIGHBOURS))
            if bucket:
                agreement = (signatures[list(bucket)] == signature).mean(axis=1)
                for first, share in zip(bucket, agreement.tolist(), strict=True):
                    if share >= estimate:
                        yield first, second
            bucket.append(second)


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


def shingles(text: str) -> _Words:
    """Distinct hashed 5-character windows of `text`, sorted; shape (at most len(text) - 4,)."""
    codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.uint64)
    windows = np.zeros(max(len(codes) - SHINGLE + 1, 0), dtype=np.uint64)
    for offset in range(SHINGLE):
        windows = windows * np.uint64(0x9E3779B97F4A7C15) + codes[offset : offset + len(windows)]
    windows ^= windows >> np.uint64(33)
    windows *= np.uint64(0xFF51AFD7ED558CCD)
    windows ^= windows >> np.uint64(33)
    return np.unique(windows)


def jaccard(a: _Words, b: _Words) -> float:
    shared = int(np.intersect1d(a, b, assume_unique=True).size)
    return shared / (a.size + b.size - shared)


def _signature(words: _Words) -> _Signature:
    """Smallest multiply-shift hash of `words` under each of the hash functions."""
    smallest = np.full(BANDS * ROWS, np.iinfo(np.uint32).max, dtype=np.uint32)
    for start in range(0, len(words), _BLOCK):
        block = words[start : start + _BLOCK]
        hashed = (_MULTIPLIERS * block + _OFFSETS) >> np.uint64(32)
        np.minimum(smallest, hashed.min(axis=1).astype(np.uint32), out=smallest)
    return smallest


def _hash_functions() -> tuple[_Words, _Words]:
    raw = np.random.default_rng(20_011).integers(0, 2**64, size=(2, BANDS * ROWS), dtype=np.uint64)
    return (raw[0] | np.uint64(1))[:, None], raw[1][:, None]


_MULTIPLIERS, _OFFSETS = _hash_functions()
