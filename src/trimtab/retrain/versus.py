"""Champion against challenger: on the same sealed rows, none of which the champion ever saw.

The rule is the one between the two arms of a decision: a difference counts where its interval lies
above 0, a loss below the task's smallest difference is borne for a simpler variant, and no part of
the inputs may clearly lose.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import numpy as np

from trimtab.compare.intervals import difference_interval
from trimtab.compare.paired import shared_scores
from trimtab.types import Arm, Comparison, Example, Interval, Noun, Record, Status

FEWEST = 20
"""Rows of a slice below which nothing is said of it."""
_LENGTHS = ("shortest quarter", "second quarter", "third quarter", "longest quarter")

Conclusion = Literal["better", "simpler", "stay"]


class SliceResult(Noun):
    """One part of the sealed rows. `fail`: a loss is shown there."""

    name: str
    n: int
    difference: Interval
    status: Status


class Concluded(Noun):
    """Whether the challenger is to take over, and why."""

    conclusion: Conclusion
    statement: str


def unseen(
    rows: Sequence[Example], seen_ids: Collection[str], clusters: Mapping[str, str]
) -> list[Example]:
    """The rows without those that the champion saw, their near duplicates and their groups."""
    of_seen = {clusters.get(row, row) for row in seen_ids}
    return [row for row in rows if clusters.get(row.id, row.id) not in of_seen]


def by_slice(
    champion: Sequence[Record],
    challenger: Sequence[Record],
    rows: Sequence[Example],
    metric: str,
    labels: Collection[str],
    clusters: Mapping[str, str],
    seed: int = 0,
) -> tuple[SliceResult, ...]:
    """The difference, challenger minus champion, by label and by the input's length.

    Intervals are Bonferroni's: all of them hold together at the 95 % level.
    """
    shared, old, new = shared_scores(champion, challenger, metric)
    known = {row.id: row for row in rows}
    lengths = np.array([len(known[example].input) for example in shared])
    if not shared:
        return ()
    quarters = np.searchsorted(np.quantile(lengths, (0.25, 0.5, 0.75)), lengths)
    names = np.array([known[example].target for example in shared])
    parts = {f"label {label}": names == label for label in labels}
    parts |= {f"input length, {_LENGTHS[i]}": quarters == i for i in range(4)}
    found = []
    for name, inside in parts.items():
        places = np.flatnonzero(inside)
        differences = (new - old)[places].tolist()
        groups = [clusters.get(shared[i], shared[i]) for i in places.tolist()]
        level = 1 - 0.05 / len(parts)
        interval = difference_interval(differences, groups, level, seed)
        found.append(
            SliceResult(name=name, n=len(places), difference=interval, status=_status(interval))
        )
    return tuple(each for each in found if each.n)


def conclude(
    comparison: Comparison, slices: Sequence[SliceResult], arms: tuple[Arm, Arm], least: float
) -> Concluded:
    """Whether the challenger takes over. `arms` are the champion's and the challenger's."""
    found = comparison.difference
    if found.estimate is None or found.low is None or found.high is None:
        return _stay("too few rows are new to the champion to compare both")
    told = f"{found.estimate:+.3f} [{found.low:+.3f}, {found.high:+.3f}] on {found.n} rows"
    losing = [each.name for each in slices if each.status == "fail"]
    if losing:
        return _stay(f"the challenger loses on {', '.join(losing)} ({told} on all)")
    if found.low > 0:
        return Concluded(conclusion="better", statement=f"the challenger is better: {told}")
    if found.low > -least and arms == ("fine-tune", "prompt"):
        return Concluded(
            conclusion="simpler", statement=f"the prompt now suffices, as good as the tune: {told}"
        )
    return _stay(f"no gain is shown: {told}")


def _stay(why: str) -> Concluded:
    return Concluded(conclusion="stay", statement=f"the champion stays: {why}")


def _status(interval: Interval) -> Status:
    if interval.n < FEWEST or interval.high is None:
        return "unknown"
    return "fail" if interval.high < 0 else "pass"
