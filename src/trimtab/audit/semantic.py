"""Rows that say the same in another order: near in their words, though not in their characters.

Random hyperplanes turn each TF-IDF vector into bits (SimHash; Charikar 2002); rows that share a
band of bits are compared exactly. Linear in the rows, of which a bounded sample is looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from trimtab.audit.subject import Subject, Table, finding, flag
from trimtab.task.near import DisjointSets, bucket_pairs
from trimtab.task.tfidf import TfIdf
from trimtab.types import Finding

SAMPLE = 10_000
READ_CHARACTERS = 500
"""How much of a text is compared; longer ones of a kind begin alike, or are found as near."""

ALIKE = 0.8
"""Cosine similarity from which on two rows count as saying the same. At 0.8 nearly every wrong
letter in an address is found; at 0.9 it is often too much of a change."""

BANDS = 24
"""Bands of 8 bits. Two rows at 0.8 share a bit with probability 1 - arccos(0.8) / pi = 0.795, and
at least one of the bands with 0.985."""

AGREEMENT = 0.71
"""Share of all bits below which two rows are not compared exactly: three standard errors, of
sqrt(0.795 * 0.205 / 192) each, below what is expected at 0.8."""


def semantic_duplicates(subject: Subject, table: Table) -> Finding:
    """Rows with the same words as another, beyond those that are near duplicates anyway."""
    places = table.sample(SAMPLE)
    texts = [subject.rows[int(place)].input[:READ_CHARACTERS] for place in places]
    _, vectors = TfIdf.fit(texts)
    clusters = np.asarray(subject.clusters)[places]
    sets = DisjointSets(len(places))
    twin: dict[int, int] = {}
    for first, second in _alike(vectors, np.random.default_rng(subject.seed)):
        if clusters[first] != clusters[second]:
            sets.join(first, second)
            twin.setdefault(first, second)
            twin.setdefault(second, first)
    if not twin:
        message = "no two rows say the same in other words or another order"
        return finding("semantic-duplicates", "info", message)
    groups = len({sets.find(i) for i in twin})
    ordered = sorted(twin, key=lambda i: (sets.find(i), i))
    flags = []
    for i in ordered[: subject.listed]:
        row, other = (subject.rows[int(places[each])] for each in (i, twin[i]))
        flags.append(flag(row, f"as {other.source}"))
    looked = f" of {len(places):,} looked at" if len(places) < len(table.distinct) else ""
    message = (
        f"{len(twin):,} rows{looked} have the words of another in another order or spelling, in "
        f"{groups:,} sets{_straddling(subject, places, sets, ordered)}"
    )
    return finding("semantic-duplicates", "info", message, flags, len(twin))


def _straddling(
    subject: Subject, places: NDArray[np.int64], sets: DisjointSets, alike: list[int]
) -> str:
    if subject.places is None:
        return ""
    splits: dict[int, int] = {}
    for i in alike:
        root = sets.find(i)
        splits[root] = splits.get(root, 0) | subject.places[int(places[i])]
    torn = sum(bits & (bits - 1) > 0 for bits in splits.values())
    return (
        f"; {torn:,} of the sets lie in more than one split, which flatters test results a little"
    )


def _alike(
    vectors: sparse.csr_array[np.float32], rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Pairs with a cosine of at least `ALIKE`, with repeats."""
    bits = _bits(vectors, rng)
    for band in range(BANDS):
        for first, second in bucket_pairs(bits[:, band].astype(np.uint64)):
            apart = np.bitwise_count(bits[first] ^ bits[second]).sum(axis=1)
            close = apart <= (1 - AGREEMENT) * 8 * BANDS
            a, b = first[close], second[close]
            cosine = np.asarray(vectors[a].multiply(vectors[b]).sum(axis=1)).ravel()
            near = cosine >= ALIKE
            yield from zip(a[near].tolist(), b[near].tolist(), strict=True)


def _bits(vectors: sparse.csr_array[np.float32], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The side of 192 random hyperplanes that each row lies on, 8 in a byte; (rows, BANDS)."""
    used, inverse = np.unique(vectors.indices, return_inverse=True)
    parts = (vectors.data, inverse, vectors.indptr)
    narrow = sparse.csr_array(parts, shape=(vectors.shape[0], len(used)))
    keys = np.empty((vectors.shape[0], BANDS), dtype=np.uint8)
    for band in range(BANDS):
        planes = rng.standard_normal((len(used), 8), dtype=np.float32)
        keys[:, band] = np.packbits((narrow @ planes) > 0, axis=1)[:, 0]
    return keys
