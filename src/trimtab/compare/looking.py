"""The sealed test in blocks of rows, ended once the rows left cannot change the answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from trimtab.compare.paired import shared_scores
from trimtab.compare.sequential import Looks, Standing, block_ends, largest_cluster
from trimtab.types import Example, Record, Sequential

FEWEST_ROWS = 200
"""Test rows below which nothing is ended early: there is too little to save. They are looked at one
by one all the same, and what that says stands beside the result and decides nothing."""
FIRST_LOOK = 100
"""Rows before the first look, so that whatever else is measured rests on as many at least."""
BLOCK = 50
"""Least rows between looks: enough for an engine to answer in full batches."""
_GROWTH = 0.25
"""Later blocks hold this share of the rows before them, so that few looks do for many rows."""
ALPHA = 0.025
"""Chance of each wrong claim, so that the interval has the level 95%."""
CLAIMS = 6
"""Gains that a decision tests together: what is seen must do after Holm's correction for them."""


class Looking:
    """Gives the test rows block by block, and stops when prompt and fine-tune are told apart.

    Rows come in the order given, which must not depend on any answer; `clusters` maps example ids
    to clusters, and no block ends inside one. It ends early only where the prompt is also clear of
    the `goal`, since the verdict rests on that as well. `least` is the smallest difference that
    matters.
    """

    def __init__(
        self,
        rows: Sequence[Example],
        metric: str,
        goal: float,
        least: float,
        clusters: Mapping[str, str],
    ) -> None:
        self._rows, self._metric, self._clusters = rows, metric, clusters
        names = self._names([row.id for row in rows])
        self._may_end = len(rows) >= FEWEST_ROWS
        self._ends = _ends(names) if self._may_end else [len(rows)]
        largest = largest_cluster(names)
        self._asked = 0
        self._looks = Looks(least, ALPHA, largest, CLAIMS)
        self._standing = Standing(goal, least, ALPHA, largest)

    def blocks(self) -> Iterator[Sequence[Example]]:
        """Each block of rows; `add` what came of it before asking for the next."""
        for end in self._ends:
            yield self._rows[self._asked : end]
            self._asked = end
            if self._looks.outcome != "open" and self._standing.clear:
                return

    def add(self, prompt: Sequence[Record], fine_tune: Sequence[Record]) -> None:
        """Both finalists' records of a block."""
        examples, before, after = shared_scores(prompt, fine_tune, self._metric)
        names, gains = self._names(examples), (after - before).tolist()
        start = 0
        for end in [len(gains)] if self._may_end else block_ends(len(gains), 1, names):
            self._looks.add(gains[start:end], names[start:end])
            start = end
        self._standing.add(before.tolist(), names)

    @property
    def looked(self) -> Sequential | None:
        """What the looks found; None where there was no more than one row to look at."""
        if len(self._rows) < 2:
            return None
        return self._looks.result(len(self._rows) - self._asked)

    def _names(self, examples: Sequence[str]) -> list[str]:
        return [self._clusters.get(example, example) for example in examples]


def _ends(clusters: Sequence[str]) -> list[int]:
    """Where the blocks end, between clusters."""
    ends: list[int] = []
    for end in block_ends(len(clusters), 1, clusters):
        begun = ends[-1] if ends else 0
        least = max(BLOCK, _GROWTH * begun) if ends else FIRST_LOOK
        if end - begun >= least or end == len(clusters):
            ends.append(end)
    return ends
