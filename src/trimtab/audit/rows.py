"""Checks of the rows as a set: how many, how distinct, and whether splits leak."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trimtab.audit.subject import (
    Places,
    Severity,
    Subject,
    Table,
    finding,
    flagged_at,
    unmeasured,
)
from trimtab.types import Finding

FORMAT_ROWS, COMPLEX_ROWS, MANY_ROWS = 100, 500, 5_000
"""Thresholds of the guide: fewer than 100 clean, distinct rows allow no fine-tune, 100 to 500 one
that adapts the format, 500 to 5,000 one for complex tasks."""

MANY_LABELS = 10
"""With more labels than this, 100 rows leave fewer than ten for each."""

MIN_PAIRS = 20
"""Fewer pairs of near-equal inputs say nothing about how often their targets agree."""


def size(subject: Subject, table: Table) -> Finding:
    kind, needed = _demand(subject)
    rows = table.valid
    missing = {}
    if rows < FORMAT_ROWS:
        allows = f"too few for any fine-tune (the guide asks for {FORMAT_ROWS})"
    elif rows < needed:
        allows = f"enough to adapt format and style, not for {kind} (the guide asks for {needed})"
    elif rows < MANY_ROWS:
        allows = (
            f"enough for {kind} (from {needed} on); the guide's complex tasks use {MANY_ROWS:,}"
        )
    else:
        allows = f"more than the {MANY_ROWS:,} that the guide expects a complex task to need"
    if rows < needed:
        missing = {"any input": needed - rows}
    severity: Severity = "warn" if rows < FORMAT_ROWS else "info"
    message = f"{rows:,} distinct rows keep the output contract: {allows}"
    return finding("size", severity, message, count=rows, collect=missing)


def _demand(subject: Subject) -> tuple[str, int]:
    """What kind of task the output makes it, and how many rows that asks for."""
    contract = subject.contract
    if contract.kind == "json":
        return "adapting a format, where each row teaches many fields", FORMAT_ROWS
    if contract.kind == "text":
        return "free text, where every answer is different", COMPLEX_ROWS
    if len(contract.labels) > MANY_LABELS:
        return f"telling {len(contract.labels)} labels apart", COMPLEX_ROWS
    return f"telling {len(contract.labels)} labels apart", FORMAT_ROWS


def exact_duplicates(subject: Subject, table: Table) -> Finding:
    copies = np.flatnonzero(table.copy)
    if not len(copies):
        return finding("exact-duplicates", "info", "no row stands twice")
    message = f"{len(copies):,} rows repeat an earlier row exactly; only the first is used"
    flags = flagged_at(subject, copies)
    return finding("exact-duplicates", "warn", message, flags, len(copies))


def near_duplicates(subject: Subject, table: Table) -> Finding:
    places = table.distinct
    near, sets = _shared(np.asarray(subject.clusters)[places])
    if not sets:
        message = "no two distinct rows have nearly equal inputs"
        return finding("near-duplicates", "info", message)
    message = (
        f"{len(near):,} rows have nearly the same input as another, in {sets:,} sets; each set "
        "stays in one split, and adds little more than one row"
    )
    flags = flagged_at(subject, places[near])
    return finding("near-duplicates", "info", message, flags, len(near))


def conflicting_targets(subject: Subject, table: Table) -> Finding:
    places = table.distinct
    # Distinct rows with the same input differ in their targets, or in nothing but case and space.
    pairs = np.unique(np.stack([table.inputs[places], table.targets[places]], axis=1), axis=0)
    inputs, targets = np.unique(pairs[:, 0], return_counts=True)
    torn = inputs[targets > 1]
    rows = places[np.isin(table.inputs[places], torn)]
    if not len(rows):
        return finding("conflicting-targets", "info", "equal inputs have equal targets")
    rows = rows[np.argsort(table.inputs[rows], kind="stable")]
    message = (
        f"{len(torn):,} inputs stand with different targets, in {len(rows):,} rows; no model "
        "can answer all of them right, so settle which target holds"
    )
    return finding("conflicting-targets", "warn", message, flagged_at(subject, rows), len(rows))


def noise_ceiling(subject: Subject, table: Table) -> Finding | None:
    """What disagreement between near-equal inputs implies for the best score that can be measured.

    If each target is wrong with probability e, independently, two targets of one truth differ with
    probability 2e(1 - e) where there are two labels, and at most 1 - (1 - e)^2 where there are more
    (two wrong ones may agree). Neighbours within a cluster are compared, each row with one other.
    """
    if subject.contract.kind != "label":
        return None
    places = table.distinct
    clusters = np.asarray(subject.clusters)[places]
    order = np.argsort(clusters, kind="stable")
    same = np.flatnonzero(clusters[order][1:] == clusters[order][:-1])
    if len(same) < MIN_PAIRS:
        message = (
            f"how far labels agree on nearly equal inputs cannot be told from {len(same)} pairs "
            f"({MIN_PAIRS} are needed); have some rows labelled twice"
        )
        return unmeasured("noise-ceiling", message)
    targets = table.targets[places[order]]
    apart = float((targets[same] != targets[same + 1]).mean())
    if len(subject.contract.labels) == 2:
        wrong = (1 - math.sqrt(1 - 2 * apart)) / 2 if apart <= 0.5 else None
    else:
        wrong = 1 - math.sqrt(1 - apart)
    means = "more often than by chance" if wrong is None else f"about {wrong:.1%} wrong targets"
    message = (
        f"{apart:.1%} of {len(same):,} pairs of nearly equal inputs have different labels: {means}"
    )
    figures = {"pairs": float(len(same)), "disagreement": apart, "wrong": wrong}
    if wrong is None:
        return finding("noise-ceiling", "warn", message, figures=figures)
    message += f", so that an accuracy above {1 - wrong:.1%} cannot be told from chance"
    figures["ceiling"] = 1 - wrong
    return finding("noise-ceiling", "info", message, figures=figures)


def leakage(subject: Subject, table: Table) -> Finding:
    """Looks at what the splits hold, not at how they were made."""
    if subject.places is None:
        message = "there is no split yet to look for leaks in: too few rows, or groups too large"
        return unmeasured("leakage", message)
    places = np.asarray(subject.places, dtype=np.int64)
    leaking = np.zeros(len(places), dtype=np.bool_)
    for keys in (table.ids, table.inputs, table.groups, subject.clusters):
        leaking |= _torn(keys, places)
    rows = np.flatnonzero(leaking & (places > 0))
    if not len(rows):
        message = "train, dev and test share no row, input, group or near duplicate"
        return finding("leakage", "info", message)
    count = len(np.unique(table.ids[rows]))
    message = (
        f"{count:,} rows have a copy, near duplicate or member of their group in another "
        "split: test results would flatter; split again"
    )
    return finding("leakage", "stop", message, flagged_at(subject, rows), count)


def _torn(keys: ArrayLike, places: Places) -> NDArray[np.bool_]:
    """Whether rows with the same key lie in more than one split; shape (rows,)."""
    _, number = np.unique(np.asarray(keys), return_inverse=True)
    bits = np.zeros(int(number.max(initial=-1)) + 1, dtype=np.int64)
    np.bitwise_or.at(bits, number, places)
    return ((bits & (bits - 1)) > 0)[number]


def _shared(keys: Iterable[int]) -> tuple[Places, int]:
    """Places whose key another one has too, those of a key together, and how many such keys."""
    _, number, counts = np.unique(np.asarray(keys), return_inverse=True, return_counts=True)
    shared = np.flatnonzero(counts[number] > 1)
    return shared[np.argsort(number[shared], kind="stable")], int((counts > 1).sum())
