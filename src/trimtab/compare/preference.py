"""Which of two variants' answers a judge prefers, row by row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from trimtab.compare.bounds import sign_flip_p
from trimtab.compare.intervals import cluster_codes, difference_interval
from trimtab.compare.paired import FLIPS, mcnemar, tango
from trimtab.types import Comparison

METRIC = "judge's preference"


def preference(
    a: str,
    b: str,
    choices: Mapping[str, float | None],
    clusters: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Comparison:
    """Wins of `b` minus wins of `a`, as a share of the rows.

    `choices` has for each example 1 where `b` is better, -1 where `a` is, 0 for a tie, and None
    where that could not be read: such a row counts as a failure of both. A choice is no score, so
    no smallest detectable difference is given.
    """
    read = {example: choice for example, choice in choices.items() if choice is not None}
    values = np.array(list(read.values()), dtype=np.float64)
    names = [clusters.get(e, e) for e in read] if clusters else list(read)
    wins, losses = int((values > 0).sum()), int((values < 0).sum())
    if len(set(names)) == len(names):
        difference = tango(wins, losses, len(names))
        test, p_value = "exact McNemar", mcnemar(wins, losses) if names else None
    else:
        difference = difference_interval(values.tolist(), names, seed=seed)
        test = f"sign-flip permutation, {FLIPS:,} flips"
        p_value = sign_flip_p(values, cluster_codes(len(names), names), FLIPS, seed)
    return Comparison(
        a=a,
        b=b,
        metric=METRIC,
        n=len(names),
        difference=difference,
        test=test,
        p_value=p_value,
        smallest_detectable=None,
        wins=wins,
        losses=losses,
        ties=len(names) - wins - losses,
        failures_a=len(choices) - len(read),
        failures_b=len(choices) - len(read),
    )
