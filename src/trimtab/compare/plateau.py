"""Whether a search on dev still gains: what the last part of its budget bought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from trimtab.compare.bounds import RESAMPLES, Array
from trimtab.compare.intervals import cluster_codes, difference_interval
from trimtab.prompt.search import LAST_SHARE
from trimtab.types import FAILURE_CAP, Interval, Plateau

_LEVEL = 0.95
_NOTHING = Interval(estimate=None, low=None, high=None, n=0, method="none")
State = Literal["exhausted", "rising", "unclear"]
_WORDS: dict[State, str] = {
    "exhausted": "exhausted",
    "rising": "still rising, not exhausted",
    "unclear": "cannot tell whether it is exhausted",
}


def plateau(
    scores: Sequence[Mapping[str, float | None]],
    spent: Sequence[float],
    total: float,
    least: float,
    clusters: Mapping[str, str] | None = None,
    seed: int = 0,
    unfinished: str | None = None,
) -> Plateau:
    """What the last LAST_SHARE of `total` added to the best dev score.

    `scores` are those of each candidate that saw all rows, by row, in the order they ended; `spent`
    is what the search had used by then, in the unit of `total`. `least` is the smallest gain that
    matters: below it with the whole interval means exhausted, above 0 with the whole of it (and not
    exhausted) means rising.

    The best of many is flattered by the choice. So the choice is made again on resamples of the
    rows (of whole `clusters`), once among the candidates that had ended before the last part and
    once among all, and each row judges only choices that were made without it: the leave-one-out
    bootstrap (Efron & Tibshirani 1997, JASA 92:548-560). Where the two choices are never different,
    the last part bought nothing, for certain.

    `unfinished` names a candidate that was ahead when the budget ended it: then nothing is certain.
    """
    if unfinished is not None:
        return _said("unclear", _NOTHING, least, f"{unfinished} was ahead as the budget ended")
    usable = [i for i, each in enumerate(scores) if _failed(each) <= FAILURE_CAP]
    early = [i for i in usable if spent[i] <= (1 - LAST_SHARE) * total]
    if not early:
        why = "no prompt had seen all rows before its last part began"
        return _said("unclear", _NOTHING, least, why)
    rows = list(scores[early[0]])
    names = [clusters.get(row, row) for row in rows] if clusters else rows
    table = np.array([[_number(scores[i][row]) for row in rows] for i in usable])
    gains, changed = _gains(table, len(early), np.asarray(cluster_codes(len(rows), names)), seed)
    gain = _interval(gains, changed, names, seed)
    if gain.low is None or gain.high is None:
        return _said("unclear", gain, least, "its dev rows are too few")
    state: State = "exhausted" if gain.high < least else "rising" if gain.low > 0 else "unclear"
    return _said(state, gain, least)


def _gains(table: Array, early: int, codes: np.ndarray, seed: int) -> tuple[Array, float]:
    """What each row gains by the later choice, and in which share of resamples that is another.

    `table` holds candidates x rows, NaN where a call failed; the first `early` candidates ended
    before the last part. Of equal candidates the earlier one is chosen.
    """
    groups = int(codes.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(
        groups, np.full(groups, 1 / groups), size=RESAMPLES
    )
    weights = drawn[:, codes].astype(np.float64)
    answered = ~np.isnan(table)
    with np.errstate(invalid="ignore"):  # a resample may hold no answered row: never chosen
        means = weights @ np.where(answered, table, 0.0).T / (weights @ answered.T)
    means = np.where(np.isnan(means), -np.inf, means)
    first, last = means[:, :early].argmax(axis=1), means.argmax(axis=1)
    out = weights == 0
    gains = np.zeros(table.shape[1])
    for pair in np.unique(first * len(table) + last):
        a, b = divmod(int(pair), len(table))
        difference = np.nan_to_num(table[b] - table[a])
        gains += out[(first == a) & (last == b)].sum(axis=0) * difference
    judged = out.sum(axis=0)
    return gains / np.maximum(judged, 1), float((first != last).mean())


def _interval(gains: Array, changed: float, names: Sequence[str], seed: int) -> Interval:
    """Of the mean gain. A gain is the share of resamples that choose otherwise times a difference
    in [-1, 1]; the interval is that of the difference."""
    method = "leave-one-out bootstrap of the choice"
    scale = max(changed, float(np.abs(gains).max()))
    if scale == 0:
        return Interval(estimate=0.0, low=0.0, high=0.0, n=len(gains), method=method, level=_LEVEL)
    found = difference_interval((gains / scale).tolist(), names, _LEVEL, seed)
    low, high = (None if b is None else b * scale for b in (found.low, found.high))
    return Interval(
        estimate=float(gains.mean()),
        low=low,
        high=high,
        n=len(gains),
        method=f"{method}, then {found.method}",
        level=_LEVEL,
    )


def _said(state: State, gain: Interval, least: float, why: str = "") -> Plateau:
    part = f"the last {LAST_SHARE:.0%} of what the search used"
    if gain.estimate is None or gain.low is None or gain.high is None:
        statement = f"{_WORDS[state]}: {why}"
    elif gain.low == gain.high == 0:
        statement = f"{part} bought nothing, whichever dev rows one judges by: {_WORDS[state]}"
    else:
        statement = (
            f"{part} bought {100 * gain.estimate:+z.1f} points (95%: {100 * gain.low:+z.1f} to "
            f"{100 * gain.high:+z.1f}), where {100 * least:g} would matter: {_WORDS[state]}"
        )
    return Plateau(state=state, last_share=LAST_SHARE, gain=gain, least=least, statement=statement)


def _failed(scores: Mapping[str, float | None]) -> float:
    return sum(score is None for score in scores.values()) / max(len(scores), 1)


def _number(score: float | None) -> float:
    return float("nan") if score is None else score
