"""TF-IDF vectors over words and their character n-grams.

Features are hashed into a fixed number of columns, so memory does not grow with the vocabulary
and no vocabulary is needed at query time. Weights are raw counts times the smoothed inverse
document frequency ln((1 + n) / (1 + df)) + 1 (scikit-learn's), rows scaled to unit length.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

COLUMNS = 2**20
READ_CHARACTERS = 2_000
"""How much of a text is looked at: about 12 kB of memory a text at most, twice that to build."""
GRAM_SIZES = (2, 3, 4)
_TOKEN = re.compile(r"\w+|[^\w\s]+")


class TfIdf:
    """The document frequencies of a collection, ready to weigh other texts by."""

    def __init__(self, frequency: NDArray[np.int64], texts: int) -> None:
        self._idf = (np.log((1 + texts) / (1 + frequency)) + 1).astype(np.float32)

    @classmethod
    def fit(cls, texts: Sequence[str]) -> tuple[TfIdf, sparse.csr_array[np.float32]]:
        """The weighting, and the texts' unit vectors by it, shape (texts, COLUMNS).

        A text without any feature is a zero row. The cost is linear in the text that is read.
        """
        counts = _count(texts)
        fitted = cls(np.bincount(counts.indices, minlength=COLUMNS), len(texts))
        return fitted, fitted._weigh(counts)

    def transform(self, *texts: str) -> sparse.csr_array[np.float32]:
        """The unit vectors of other texts, shape (len(texts), COLUMNS)."""
        return self._weigh(_count(texts))

    def _weigh(self, counts: sparse.csr_array[np.float32]) -> sparse.csr_array[np.float32]:
        counts.data *= self._idf[counts.indices]
        lengths = np.sqrt(counts.power(2).sum(axis=1))
        lengths[lengths == 0] = 1
        counts.data /= np.repeat(lengths, np.diff(counts.indptr))
        return counts


def _count(texts: Iterable[str]) -> sparse.csr_array[np.float32]:
    columns, values, ends = array("i"), array("f"), array("q", [0])
    for text in texts:
        features: Counter[int] = Counter()
        for token in _TOKEN.findall(text[:READ_CHARACTERS].casefold()):
            features.update(_token_columns(token))
        columns.extend(features.keys())
        values.extend(features.values())
        ends.append(len(columns))
    parts = (np.array(values, np.float32), np.array(columns, np.int32), np.array(ends))
    return sparse.csr_array(parts, shape=(len(ends) - 1, COLUMNS))


@lru_cache(maxsize=65_536)
def _token_columns(token: str) -> tuple[int, ...]:
    """Columns of the token itself and of its n-grams, with its two edges marked by a space."""
    edged = f" {token} "
    grams = (
        edged[start : start + size] for size in GRAM_SIZES for start in range(len(edged) - size + 1)
    )
    return tuple(
        crc32(feature.encode(errors="surrogatepass")) % COLUMNS
        for feature in (f"word:{token}", *grams)
    )
