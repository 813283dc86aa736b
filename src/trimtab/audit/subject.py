"""What an audit looks at, one pass over it, and how a check says what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from trimtab.task.codes import digest
from trimtab.task.contract import parse
from trimtab.task.near import normalised
from trimtab.types import Example, Finding, Flag, OutputContract

MAX_LISTED = 200

TRAIN, DEV, TEST = 1, 2, 4
"""The split that a row is in, as bits: a row in two of them leaks."""

Severity: TypeAlias = Literal["info", "warn", "stop"]
Places: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Limit:
    """What the model can read: `tokens` of context, of which `reserved` go to what every prompt
    has; `count` counts a text's tokens, and no text has more of them than bytes."""

    tokens: int
    reserved: int
    count: Callable[[str], int]


@dataclass(frozen=True)
class Subject:
    """The data under audit. `rows` may lie on disk: read through in order, or at single places."""

    rows: Sequence[Example]
    clusters: Sequence[int]
    """The near-duplicate cluster of each row."""
    places: Sequence[int] | None
    """The splits of each row, as bits; 0 for copies that are not used. None: no split was made."""
    contract: OutputContract
    traffic: Sequence[str] = ()
    """Unlabelled real inputs; empty where there is no sample."""
    slices: Mapping[str, Sequence[str | None]] = field(default_factory=dict)
    """For each column that the task names, its value in each row."""
    limit: Limit | None = None
    seed: int = 0
    listed: int = MAX_LISTED
    """How many rows a finding lists at most; it counts all of them."""


class Suspect(NamedTuple):
    """A row whose target may be wrong. `doubt` is how much likelier something else is, as a
    difference of probabilities."""

    row: Example
    why: str
    suggestion: str
    doubt: float


class Look:
    """One row, with what several checks want to know worked out once."""

    def __init__(self, place: int, row: Example, contract: OutputContract) -> None:
        self.place = place
        self.row = row
        self._contract = contract

    @cached_property
    def normal(self) -> str:
        return normalised(self.row.input)

    @cached_property
    def parsed(self) -> tuple[JsonValue, str | None]:
        """The target's value, or None and why it breaks the contract."""
        try:
            return parse(self._contract, self.row.target), None
        except ValueError as reason:
            return None, str(reason)


class RowCheck(Protocol):
    """Sees every distinct row once, in order, and keeps numbers and listed rows only."""

    def see(self, look: Look) -> None: ...

    def findings(self) -> Iterable[Finding]: ...


@dataclass(frozen=True)
class Table:
    """What one pass keeps of every row: 41 bytes, never its text. Arrays have shape (rows,)."""

    ids: NDArray[np.uint64]
    inputs: NDArray[np.uint64]
    """Digest of the normalised input."""
    targets: NDArray[np.uint64]
    groups: NDArray[np.uint64]
    """Digest of the group; rows without one have the number of their place."""
    times: NDArray[np.float64]
    """Seconds since 1970; NaN for rows without a time."""
    copy: NDArray[np.bool_]
    """Whether the row repeats an earlier one exactly."""
    valid: int
    """Distinct rows whose target keeps the contract."""

    @cached_property
    def distinct(self) -> Places:
        return np.flatnonzero(~self.copy)

    def sample(self, size: int) -> Places:
        """At most `size` distinct rows, the same ones in whatever order the file has them."""
        places = self.distinct
        if len(places) > size:
            places = places[np.argpartition(self.ids[places], size)[:size]]
        return np.sort(places)


def walk(subject: Subject, checks: Sequence[RowCheck]) -> Table:
    """Show every distinct row to all `checks`, and keep the table of all rows."""
    count = len(subject.rows)
    ids, inputs, targets, groups = (np.empty(count, dtype=np.uint64) for _ in range(4))
    times = np.full(count, np.nan)
    copy = np.zeros(count, dtype=np.bool_)
    seen: set[int] = set()
    valid = 0
    for place, row in enumerate(subject.rows):
        look = Look(place, row, subject.contract)
        identity = digest(row.id)
        ids[place], inputs[place] = identity, digest(look.normal)
        targets[place] = digest(row.target)
        groups[place] = place if row.group is None else digest(f"group {row.group}")
        if row.time is not None:
            times[place] = row.time.timestamp()
        if identity in seen:
            copy[place] = True
            continue
        seen.add(identity)
        valid += look.parsed[1] is None
        for check in checks:
            check.see(look)
    return Table(ids, inputs, targets, groups, times, copy, valid)


class Flagged:
    """Counts rows, and lists the first of them with a reason for each."""

    def __init__(self, listed: int) -> None:
        self.count = 0
        self.flags: list[Flag] = []
        self._listed = listed

    def add(self, row: Example, why: str = "", suggestion: str = "") -> None:
        self.count += 1
        if len(self.flags) < self._listed:
            self.flags.append(flag(row, why, suggestion))


def flag(row: Example, why: str = "", suggestion: str = "") -> Flag:
    return Flag(row=row.id, source=row.source, why=why, suggestion=suggestion)


def flagged_at(subject: Subject, places: Iterable[int], why: str = "") -> list[Flag]:
    """Flags for the first of these rows, which are read again."""
    flags: list[Flag] = []
    for place in places:
        if len(flags) == subject.listed:
            break
        flags.append(flag(subject.rows[int(place)], why))
    return flags


def finding(
    check: str,
    severity: Severity,
    message: str,
    flags: Sequence[Flag] = (),
    count: int | None = None,
    figures: Mapping[str, float | None] | None = None,
    collect: Mapping[str, int] | None = None,
) -> Finding:
    """A finding about the flagged rows, of which there are `count` where not all are listed."""
    ids = dict.fromkeys(each.row for each in flags)
    return Finding(
        check=check,
        severity=severity,
        message=message,
        count=len(ids) if count is None else count,
        rows=tuple(ids),
        flags=tuple(flags),
        figures=dict(figures or {}),
        collect=dict(collect or {}),
    )


def unmeasured(check: str, message: str) -> Finding:
    """The question stays open; `message` says what it needs."""
    return Finding(check=check, severity="info", message=message, count=0, measured=False)
