"""Whether a fine-tune keeps what its base could do: paired non-inferiority on the same items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.compare.intervals import difference_interval
from trimtab.compare.paired import tango
from trimtab.types import FAILURE_CAP, Interval, Retained, Status

OVERALL = "all items"
LEVEL = 0.95
SECTION_LEVEL = 0.99
"""Of the intervals of single sections: there are several, and any of them can fail the whole."""


@dataclass(frozen=True)
class Pair:
    """The scores (in [0, 1]) of one item; None where a side gave no answer."""

    section: str
    base: float | None
    tuned: float | None


def retained(
    pairs: Sequence[Pair], margin: float, seed: int = 0
) -> tuple[Retained, tuple[Retained, ...]]:
    """(all items together, each section) by the paired interval of tuned minus base.

    0/1 scores: Tango's score interval; others: `difference_interval`. Items are independent.
    """
    names = list(dict.fromkeys(pair.section for pair in pairs))
    overall = _retained(OVERALL, pairs, margin, LEVEL, seed)
    by_name = {name: [pair for pair in pairs if pair.section == name] for name in names}
    parts = [_retained(name, by_name[name], margin, SECTION_LEVEL, seed) for name in names]
    return overall, tuple(parts)


def retention_status(
    overall: Retained, sections: Sequence[Retained], failures: int, items: int
) -> Status:
    """`fail` where the whole or a section fails, `pass` where the whole passes, else `unknown`.

    So it is where more than FAILURE_CAP of the items have no answer.
    """
    if items == 0 or failures / items > FAILURE_CAP:
        return "unknown"
    if any(part.status == "fail" for part in (overall, *sections)):
        return "fail"
    return overall.status


def _retained(
    section: str, pairs: Sequence[Pair], margin: float, level: float, seed: int
) -> Retained:
    both = [(p.base, p.tuned) for p in pairs if p.base is not None and p.tuned is not None]
    base, tuned = np.array(both, dtype=np.float64).reshape(-1, 2).T
    if np.isin(both, (0.0, 1.0)).all():
        wins, losses = int((tuned > base).sum()), int((tuned < base).sum())
        difference = tango(wins, losses, len(both), level)
    else:
        difference = difference_interval((tuned - base).tolist(), level=level, seed=seed)
    return Retained(
        section=section,
        base=float(base.mean()) if both else None,
        tuned=float(tuned.mean()) if both else None,
        difference=difference,
        status=_status(difference, margin),
    )


def _status(difference: Interval, margin: float) -> Status:
    estimate, low, high = difference.estimate, difference.low, difference.high
    if estimate is None or low is None or high is None:
        return "unknown"
    if low > -margin:
        return "pass"
    return "fail" if high < 0 and estimate < -margin else "unknown"
