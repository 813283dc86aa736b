"""Who approved the targets, and how far those who labelled the same inputs agree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from trimtab.audit.subject import (
    Flagged,
    Look,
    Subject,
    Table,
    finding,
    flagged_at,
    unmeasured,
)
from trimtab.types import Finding

APPROVED_SHARE = 0.9
"""From this share of approved rows on, the data counts as approved (the guide's gate)."""

TENTATIVE, GOOD = 0.667, 0.8
"""Below the first, labels are too unreliable to conclude from; from the second on they are
reliable. Krippendorff (2004), Content Analysis, chapter 11."""

MIN_UNITS = 20
"""Fewer inputs that two people labelled say nothing about their agreement."""

_RESAMPLES = 500
_NAMED = 5


class Approved:
    """The share of rows that someone approved, and who approved how many."""

    def __init__(self, subject: Subject) -> None:
        self._missing = Flagged(subject.listed)
        self._by: Counter[str] = Counter()

    def see(self, look: Look) -> None:
        if look.row.approved_by is None:
            self._missing.add(look.row)
        else:
            self._by[look.row.approved_by] += 1

    def findings(self) -> Iterator[Finding]:
        approved = self._by.total()
        total = approved + self._missing.count
        share = approved / total
        message = f"{share:.0%} of {total:,} rows were approved"
        if self._by:
            shown = ", ".join(f"{name} {count:,}" for name, count in self._by.most_common(_NAMED))
            more = len(self._by) - _NAMED
            message += f" (by {shown}{f' and {more} more' if more > 0 else ''})"
        if share < APPROVED_SHARE:
            message += (
                f"; the guide asks for {APPROVED_SHARE:.0%} before a fine-tune may rest on them"
            )
        yield finding(
            "approved",
            "warn" if share < APPROVED_SHARE else "info",
            message,
            self._missing.flags,
            self._missing.count,
            {"share": share, "reviewers": float(len(self._by))},
        )


def reviewer_agreement(subject: Subject, table: Table) -> Finding:
    """Krippendorff's alpha over inputs that at least two named reviewers labelled."""
    units = _labelled_twice(subject, table)
    if len(units) < MIN_UNITS:
        message = (
            f"how far reviewers agree is unknown: two of them labelled {len(units)} of the inputs "
            f"({MIN_UNITS} are needed). Have a second person label some rows again, unseen, and "
            "add them as rows with the other name in `approved_by`"
        )
        return unmeasured("reviewer-agreement", message)
    answers = [[target for _, _, target in unit] for unit in units]
    alpha = krippendorff(answers)
    torn = [unit for unit in units if len({target for _, _, target in unit}) > 1]
    low, high = _interval(answers, subject.seed)
    told = "undefined, because all labels are the same" if alpha is None else f"{alpha:.2f}"
    bounds = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    message = (
        f"reviewers gave {len(torn):,} of {len(units):,} inputs that two or more of them labelled "
        f"different targets: Krippendorff's alpha {told}{bounds}"
    )
    weak = alpha is not None and alpha < TENTATIVE
    if weak:
        message += f"; below {TENTATIVE} nothing should rest on them, so write down how to label"
    places = [place for unit in torn for place, _, _ in unit]
    return finding(
        "reviewer-agreement",
        "warn" if weak else "info",
        message,
        flagged_at(subject, places),
        len(places),
        {"alpha": alpha, "low": low, "high": high, "inputs": float(len(units))},
    )


def krippendorff(units: Iterable[Sequence[int]]) -> float | None:
    """Krippendorff's alpha for nominal values; None where only one value occurs.

    Each unit holds the values that its raters gave; those with one rater are passed over. Source:
    Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section E.
    """
    values: Counter[int] = Counter()
    observed = 0.0
    for unit in units:
        raters = len(unit)
        if raters > 1:
            counts = Counter(unit)
            values += counts
            pairs = sum(count * (raters - count) for count in counts.values())
            observed += pairs / (raters - 1)
    total = values.total()
    expected = sum(count * (total - count) for count in values.values())
    return None if expected == 0 else 1 - (total - 1) * observed / expected


_Answer = tuple[int, str, int]
"""Place of the row, reviewer, digest of the target."""


def _labelled_twice(subject: Subject, table: Table) -> list[list[_Answer]]:
    """Inputs with the answers of two or more reviewers, one answer each (the first)."""
    inputs, counts = np.unique(table.inputs, return_counts=True)
    repeated = np.isin(table.inputs, inputs[counts > 1])
    units: dict[int, dict[str, _Answer]] = {}
    for place in np.flatnonzero(repeated):
        reviewer = subject.rows[int(place)].approved_by
        if reviewer is not None:
            answers = units.setdefault(int(table.inputs[place]), {})
            answers.setdefault(reviewer, (int(place), reviewer, int(table.targets[place])))
    return [list(answers.values()) for answers in units.values() if len(answers) > 1]


def _interval(units: Sequence[Sequence[int]], seed: int) -> tuple[float | None, float | None]:
    """95 % percentile bootstrap over the inputs."""
    draws = np.random.default_rng(seed).integers(0, len(units), size=(_RESAMPLES, len(units)))
    found = [krippendorff(units[i] for i in draw) for draw in draws.tolist()]
    alphas = [alpha for alpha in found if alpha is not None]
    if len(alphas) < len(found):
        return None, None
    low, high = np.quantile(alphas, [0.025, 0.975])
    return float(low), float(high)
