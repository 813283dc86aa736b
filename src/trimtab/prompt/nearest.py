"""Finds the training rows most like an input."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from trimtab.task.tfidf import TfIdf
from trimtab.types import Example, content_hash


def same_input_key(text: str) -> str:
    """Equal for texts that differ at most in case and spacing."""
    return content_hash(" ".join(text.casefold().split()))


class NearestPool:
    """Rows to retrieve demonstrations from, by cosine similarity of TF-IDF vectors.

    Building is linear in the rows. A query is one sparse product over the rows that share a
    feature with the text, then a selection: O(rows). Rendering n prompts costs O(n x rows).
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        # Sorted by id, so that ties fall the same way whatever the order of the data file.
        self._examples = sorted(examples, key=lambda example: example.id)
        self._tfidf, vectors = TfIdf.fit([example.input for example in self._examples])
        self._by_feature = vectors.T.tocsr()
        self._positions: defaultdict[str, list[int]] = defaultdict(list)
        for position, example in enumerate(self._examples):
            self._positions[same_input_key(example.input)].append(position)

    def __len__(self) -> int:
        return len(self._examples)

    def nearest(self, text: str, k: int, exclude_input: str | None = None) -> tuple[Example, ...]:
        """The `k` rows most like `text`, the most similar last; ties go to the smaller id.

        Rows whose input equals `exclude_input` but for case and spacing are passed over. A text
        that shares nothing with any row still gets `k` rows, always the same; fewer come back
        only where the pool has no more.
        """
        similarity = (self._tfidf.transform(text) @ self._by_feature).toarray()[0]
        excluded: list[int] = []
        if exclude_input is not None:
            excluded = self._positions.get(same_input_key(exclude_input), [])
        similarity[excluded] = -1
        k = min(k, len(self) - len(excluded))
        if k <= 0:
            return ()
        least = np.partition(similarity, len(self) - k)[len(self) - k]
        candidates = np.flatnonzero(similarity >= least)
        best_first = candidates[np.argsort(-similarity[candidates], kind="stable")][:k]
        return tuple(self._examples[position] for position in best_first[::-1])
