"""Measures candidates on the dev rows block by block, and stops those that cannot win any more.

The question is about these rows alone: will the candidate's mean over all of them end above the
leader's? All of them are at hand, and only their order is random, so the bet is one on sampling
without replacement: the fewer rows are left, the more each of them would have to bring. Source:
Waudby-Smith & Ramdas 2020, NeurIPS 33, "Confidence sequences for sampling without replacement".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np

from trimtab.errors import BudgetSpent
from trimtab.prompt.recipe import Recipe
from trimtab.types import FAILURE_CAP, Example, Record, Scored, Trial, Variant

RACE_ERROR = 0.1
"""Highest chance that any stage stops the candidate that would have led it. Trimtab's choice: such
a loss costs the lead that the candidate had on a few dozen rows, most of which is luck."""
SMALLEST_BLOCK, LARGEST_BLOCK = 8, 16
"""Rows between two looks, a quarter of all within these: few enough to stop early, enough for an
engine to answer in a batch."""

_BETS = np.array([0.1, 0.25, 0.5, 0.75, 0.95])
"""Shares of the stake, spread evenly: small ones grow on small differences, large ones on large."""
_SLACK = 1e-9
"""For sums of floats that should be equal."""

Measure: TypeAlias = Callable[[Variant, Sequence[Example]], Sequence[Record]]
"""The candidate's records of dev rows; calls that are on disk are not made again. May raise
`BudgetSpent`."""


class Behind:
    """Evidence that a candidate's mean over all rows ends below the leader's, row by row.

    With rows in random order and a candidate that ends no worse, the chance that `evidence` ever
    reaches 1/alpha is at most alpha (Ville's inequality). `room` is what a candidate that is right
    on every row would gain over the leader in all: one that cannot catch up is behind for certain.
    """

    def __init__(self, rows: int, room: float) -> None:
        self._left = rows
        self._room = room
        self._sum = 0.0
        self._stakes = np.ones(len(_BETS))

    def add(self, difference: float, room: float) -> None:
        """One more row: candidate less leader, in [-1, 1], which could have been `room`."""
        # What the rows to come must average for a candidate that ends no worse.
        needed = -self._sum / self._left
        if -1 < needed < 1 - _SLACK:
            self._stakes *= 1 + _BETS * (needed - difference) / (1 - needed)
        self._sum += difference
        self._room -= room
        self._left -= 1
        if self._sum + self._room < -_SLACK:
            self._stakes[:] = math.inf

    @property
    def evidence(self) -> float:
        return float(self._stakes.mean())


@dataclass
class Entry:
    """A candidate in the race. `scores` holds None for a row whose call failed."""

    recipe: Recipe
    variant: Variant
    stage: str
    scores: dict[str, float | None] = field(default_factory=dict)
    ended: Literal["finished", "behind", "budget"] | None = None
    behind: str | None = None
    used: int = 0
    took: float = 0.0
    """Calls and seconds of its own."""
    calls: int = 0
    """Calls of the whole race when it ended; `seconds` and `best` likewise."""
    seconds: float = 0.0
    best: float | None = None

    @property
    def finished(self) -> bool:
        return self.ended == "finished"

    @property
    def mean(self) -> float | None:
        """Over the rows that it answered so far."""
        known = [score for score in self.scores.values() if score is not None]
        return sum(known) / len(known) if known else None

    @property
    def rank(self) -> tuple[bool, float]:
        """As `VariantScore.rank`."""
        if self.mean is None:
            return (False, 0.0)
        failed = sum(score is None for score in self.scores.values())
        return (failed / len(self.scores) <= FAILURE_CAP, self.mean)


class Race:
    """The candidates so far, and the best of those that saw all rows.

    It is a function of the records alone: a race that runs again over the same records makes the
    same choices without a call.
    """

    def __init__(
        self,
        rows: Sequence[Example],
        metric: str,
        measure: Measure,
        build: Callable[[Recipe], Variant],
        seconds_of: Callable[[Record], float],
        seed: int,
        error: float = RACE_ERROR,
    ) -> None:
        """`seconds_of` tells what a record takes at the calibrated speed, whenever it was made."""
        self._rows = sorted(rows, key=lambda row: row.id)
        self._metric = metric
        self._measure = measure
        self._build = build
        self._seconds_of = seconds_of
        self._seed = seed
        self._error = error
        self._stages = 0
        self.entries: list[Entry] = []
        self.leader: Entry | None = None
        self.calls = 0
        self.seconds = 0.0

    def run(self, stage: str, recipes: Sequence[Recipe]) -> list[Entry]:
        """Race the candidates that were not tried yet, one after the other, against the leader.

        The s-th stage may err with a chance of error / (s (s + 1)), which sums to `error`; its
        best candidate meets at most as many leaders as there are candidates. Each stage shuffles
        the rows anew, so that nothing which chose its candidates depends on its order. Raises
        `BudgetSpent`; what was measured until then is in `entries`.
        """
        fresh = self._fresh(recipes)
        if not fresh:
            return []
        self._stages += 1
        alpha = self._error / (self._stages * (self._stages + 1)) / len(fresh)
        order = np.random.default_rng([self._seed, self._stages]).permutation(len(self._rows))
        rows = [self._rows[i] for i in order]
        entered = []
        for recipe, variant in fresh.values():
            entry = Entry(recipe, variant, stage)
            self.entries.append(entry)
            entered.append(entry)
            self._enter(entry, rows, alpha)
        return entered

    def finish(self, entry: Entry) -> None:
        """Measure the rows that a candidate has not seen yet, without a look in between.

        Raises `BudgetSpent`, which leaves it unfinished.
        """
        rows = [row for row in self._rows if row.id not in entry.scores]
        self._note(entry, self._measure(entry.variant, rows))
        entry.ended = "finished"
        if self.leader is None or entry.rank > self.leader.rank:
            self.leader = entry
        entry.calls, entry.seconds = self.calls, self.seconds
        entry.best = self.leader.mean

    @property
    def unfinished_leader(self) -> Entry | None:
        """The candidate at which the budget ended, where it was ahead on the rows that it saw."""
        last = self.entries[-1] if self.entries else None
        if last is None or last.ended != "budget" or last.mean is None or self.leader is None:
            return None
        leading = [self.leader.scores[row] for row in last.scores]
        known = [score for score in leading if score is not None]
        return last if not known or last.mean > sum(known) / len(known) else None

    @property
    def calls_of_grid(self) -> int:
        """Calls that the same candidates would have taken had each seen all rows."""
        spared = sum(
            each.used * (len(self._rows) / len(each.scores) - 1)
            for each in self.entries
            if each.ended == "behind"
        )
        return self.calls + round(spared)

    @property
    def seconds_of_all_rows(self) -> float:
        """What the leader's answers to all rows took."""
        return self.leader.took if self.leader else 0.0

    def trials(self) -> tuple[Trial, ...]:
        """All candidates in the order in which they ran."""
        return tuple(
            Trial(
                variant=each.variant.id,
                name=each.variant.name,
                stage=each.stage,
                rows=len(each.scores),
                of=len(self._rows),
                quality=each.mean,
                ended=each.ended or "budget",
                behind=each.behind,
                calls=each.calls,
                seconds=each.seconds,
                best=each.best,
            )
            for each in self.entries
        )

    def _fresh(self, recipes: Sequence[Recipe]) -> dict[str, tuple[Recipe, Variant]]:
        known = {entry.variant.id for entry in self.entries}
        fresh: dict[str, tuple[Recipe, Variant]] = {}
        for recipe in recipes:
            variant = self._build(recipe)
            if variant.id not in known:
                fresh.setdefault(variant.id, (recipe, variant))
        return fresh

    def _enter(self, entry: Entry, rows: Sequence[Example], alpha: float) -> None:
        rival = self.leader
        leading = {row: score or 0.0 for row, score in rival.scores.items()} if rival else {}
        bet = Behind(len(rows), sum(1 - score for score in leading.values()))
        try:
            for start, end in blocks(len(rows)):
                records = self._measure(entry.variant, rows[start:end])
                self._note(entry, records)
                if rival is None:
                    continue
                for row in rows[start:end]:
                    # A call that failed counts as right, so that failures never stop a candidate.
                    score = entry.scores[row.id]
                    bet.add(
                        (1.0 if score is None else score) - leading[row.id], 1 - leading[row.id]
                    )
                if bet.evidence >= 1 / alpha and end < len(rows):
                    entry.ended, entry.behind = "behind", rival.variant.name
                    return
        except BudgetSpent:
            entry.ended = "budget"
            raise
        else:
            entry.ended = "finished"
            if rival is None or entry.rank > rival.rank:
                self.leader = entry
        finally:
            entry.calls, entry.seconds = self.calls, self.seconds
            entry.best = self.leader.mean if self.leader else None

    def _note(self, entry: Entry, records: Sequence[Record]) -> None:
        for record in records:
            outcome = record.outcome
            entry.scores[record.example] = (
                outcome.metrics[self._metric] if isinstance(outcome, Scored) else None
            )
            rounds = record.completion.rounds if record.completion else 1
            entry.used += rounds
            self.calls += rounds
            seconds = self._seconds_of(record)
            entry.took += seconds
            self.seconds += seconds


def blocks(rows: int) -> list[tuple[int, int]]:
    """(start, end) of each block; a rest of less than half a block joins the last one."""
    size = min(max(rows // 4, SMALLEST_BLOCK), LARGEST_BLOCK)
    ends = list(range(size, rows - size // 2 + 1, size))
    return list(zip([0, *ends], [*ends, rows], strict=True)) if rows else []
