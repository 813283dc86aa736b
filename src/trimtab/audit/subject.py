"""What an audit looks at, and how it says what it found."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from trimtab.task.split import Split
from trimtab.types import Example, Finding, OutputContract

MAX_LISTED = 200

Severity: TypeAlias = Literal["info", "warn", "stop"]

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Subject:
    """The data under audit: distinct rows, the near-duplicate cluster of each, and copies."""

    rows: Sequence[Example]
    clusters: Sequence[int]
    copies: Sequence[Example]
    split: Split
    contract: OutputContract


def finding(
    check: str,
    severity: Severity,
    message: str,
    rows: Iterable[Example] = (),
    count: int | None = None,
) -> Finding:
    """A finding about `rows`: the distinct ones are counted (or `count` is given), 200 listed."""
    ids = dict.fromkeys(row.id for row in rows)
    return Finding(
        check=check,
        severity=severity,
        message=message,
        count=len(ids) if count is None else count,
        rows=tuple(ids)[:MAX_LISTED],
    )


def grouped(keys: Iterable[K], rows: Iterable[Example]) -> dict[K, list[Example]]:
    """`rows` by key, each with its key in the same place of `keys`."""
    groups: dict[K, list[Example]] = {}
    for key, row in zip(keys, rows, strict=True):
        groups.setdefault(key, []).append(row)
    return groups
