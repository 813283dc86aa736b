"""Kinds of rows: which are too few to learn or to judge, and what to label next."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from trimtab.audit.subject import TEST, Flagged, Look, Subject, finding
from trimtab.types import Finding

FEW_ROWS = 10
"""A slice, label or field of fewer rows cannot be judged: one error moves its score by
more than a tenth."""

_LENGTHS = ((5, "up to 5 words"), (20, "6 to 20 words"), (100, "21 to 100 words"))
_LONGEST = "more than 100 words"
_SHOWN = 12


class Slices:
    """Rows by length and by the columns that the task names; in all, and in the test."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._rows: dict[tuple[str, str], Flagged] = {}
        self._tested: set[tuple[str, str]] = set()

    def see(self, look: Look) -> None:
        subject = self._subject
        keys = [("length", _length(look.row.input))]
        for name, values in subject.slices.items():
            keys.append((name, values[look.place] or "(none)"))
        tested = subject.places is not None and subject.places[look.place] & TEST
        for key in keys:
            self._rows.setdefault(key, Flagged(FEW_ROWS)).add(look.row, f"{key[0]}: {key[1]}")
            if tested:
                self._tested.add(key)

    def findings(self) -> Iterator[Finding]:
        few = {key: rows for key, rows in self._rows.items() if rows.count < FEW_ROWS}
        untested = [
            key for key in self._rows if self._tested and key not in self._tested and key not in few
        ]
        columns = ", ".join(self._subject.slices) or "no columns, set data.slices to name some"
        parts = []
        if few:
            shown = [f"{name} {value!r} {few[name, value].count}" for name, value in few]
            parts.append(f"fewer than {FEW_ROWS} rows of: {_list(shown)}")
        if untested:
            parts.append(f"no test row of: {_list([f'{n} {v!r}' for n, v in untested])}")
        told = "; ".join(parts) or f"every one has at least {FEW_ROWS} rows"
        flags = [flag for rows in few.values() for flag in rows.flags][: self._subject.listed]
        yield finding(
            "slices",
            "warn" if parts else "info",
            f"{len(self._rows):,} slices by length and by {columns}: {told}",
            flags,
            sum(rows.count for rows in few.values()),
            {f"{name}: {value}": float(rows.count) for (name, value), rows in self._shown()},
            {f"{name} {value}": FEW_ROWS - few[name, value].count for name, value in few},
        )

    def _shown(self) -> list[tuple[tuple[str, str], Flagged]]:
        """The largest slices, so that a column of ids does not fill the report."""
        return sorted(self._rows.items(), key=lambda each: -each[1].count)[:100]


def collect_next(findings: Iterable[Finding]) -> Finding:
    """All that the other checks miss, the largest gap first."""
    wanted: dict[str, int] = {}
    for each in findings:
        for what, count in each.collect.items():
            wanted[what] = max(count, wanted.get(what, 0))
    ordered = dict(sorted(wanted.items(), key=lambda each: -each[1]))
    if not ordered:
        message = "no gap to fill was found; what the learning curve asks for is in its forecast"
        return finding("collect-next", "info", message)
    told = _list([f"{count:,} rows of {what}" for what, count in ordered.items()])
    message = f"to label next: {told}"
    return finding("collect-next", "info", message, count=len(ordered), collect=ordered)


def _list(items: list[str]) -> str:
    more = len(items) - _SHOWN
    return ", ".join(items[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _length(text: str) -> str:
    words = len(text.split())
    return next((name for most, name in _LENGTHS if words <= most), _LONGEST)
