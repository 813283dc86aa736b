"""Checks of the rows as a set: how many, how distinct, how approved, and whether splits leak."""

from __future__ import annotations

from collections.abc import Hashable

from trimtab.audit.subject import Severity, Subject, finding, grouped
from trimtab.task.contract import violation
from trimtab.task.near import normalised
from trimtab.types import Example, Finding, SplitName

FORMAT_ROWS, COMPLEX_ROWS, MANY_ROWS = 100, 500, 5_000
"""Thresholds of the guide: fewer than 100 clean, distinct rows allow no fine-tune, 100 to 500 one
that adapts the format, 500 to 5,000 one for complex tasks."""

APPROVED_SHARE = 0.9
"""From this share of approved rows on, the data counts as approved (the guide's gate)."""


def size(subject: Subject) -> Finding:
    distinct = sum(violation(subject.contract, row.target) is None for row in subject.rows)
    if distinct < FORMAT_ROWS:
        allows = f"too few for any fine-tune (the guide asks for {FORMAT_ROWS})"
    elif distinct < COMPLEX_ROWS:
        allows = f"enough to adapt format and style, not for a complex task ({COMPLEX_ROWS})"
    elif distinct < MANY_ROWS:
        allows = "enough for a complex task"
    else:
        allows = f"more than the {MANY_ROWS:,} that the guide expects a complex task to need"
    message = f"{distinct:,} distinct rows keep the output contract: {allows}"
    severity: Severity = "warn" if distinct < FORMAT_ROWS else "info"
    return finding("size", severity, message, count=distinct)


def exact_duplicates(subject: Subject) -> Finding:
    copies = subject.copies
    if not copies:
        return finding("exact-duplicates", "info", "no row stands twice")
    message = f"{len(copies):,} rows repeat an earlier row exactly; only the first is used"
    return finding("exact-duplicates", "warn", message, copies, len(copies))


def near_duplicates(subject: Subject) -> Finding:
    clusters = grouped(subject.clusters, subject.rows)
    near = [row for group in clusters.values() if len(group) > 1 for row in group]
    if not near:
        return finding("near-duplicates", "info", "no two distinct rows have nearly equal inputs")
    sets = sum(len(group) > 1 for group in clusters.values())
    message = (
        f"{len(near):,} rows have nearly the same input as another, in {sets:,} sets; each set "
        "stays in one split, and adds little more than one row"
    )
    return finding("near-duplicates", "info", message, near)


def conflicting_targets(subject: Subject) -> Finding:
    groups = grouped((normalised(row.input) for row in subject.rows), subject.rows)
    conflicts = [g for g in groups.values() if len({row.target for row in g}) > 1]
    rows = [row for group in conflicts for row in group]
    if not rows:
        return finding("conflicting-targets", "info", "equal inputs have equal targets")
    message = (
        f"{len(conflicts):,} inputs stand with different targets, in {len(rows):,} rows; no model "
        "can answer all of them right, so settle which target holds"
    )
    return finding("conflicting-targets", "warn", message, rows)


def leakage(subject: Subject) -> Finding:
    """Looks at what the splits hold, not at how they were made."""
    places = _places(subject)
    leaks: dict[str, Example] = {}
    ties: list[list[Hashable]] = [
        [row.id for row in subject.rows],
        [normalised(row.input) for row in subject.rows],
        [("group", row.group) if row.group is not None else row.id for row in subject.rows],
        list(subject.clusters),
    ]
    for keys in ties:
        for group in grouped(keys, subject.rows).values():
            if len(set().union(*(places.get(row.id, ()) for row in group))) > 1:
                leaks |= {row.id: row for row in group}
    if not leaks:
        message = "train, dev and test share no row, input, group or near duplicate"
        return finding("leakage", "info", message)
    message = (
        f"{len(leaks):,} rows have a copy, near duplicate or member of their group in another "
        "split: test results would flatter; split again"
    )
    return finding("leakage", "stop", message, leaks.values())


def approved(subject: Subject) -> Finding:
    rows = subject.rows
    missing = [row for row in rows if row.approved_by is None]
    share = 1 - len(missing) / len(rows)
    message = f"{share:.0%} of {len(rows):,} rows were approved by someone"
    if share < APPROVED_SHARE:
        message += f"; the guide asks for {APPROVED_SHARE:.0%} before a fine-tune may rest on them"
    return finding("approved", "warn" if share < APPROVED_SHARE else "info", message, missing)


def _places(subject: Subject) -> dict[str, set[SplitName]]:
    """The splits that each row id is in."""
    split = subject.split
    places: dict[str, set[SplitName]] = {}
    for row in split.train:
        places.setdefault(row.id, set()).add("train")
    for row in split.dev:
        places.setdefault(row.id, set()).add("dev")
    for identity in split.test.ids:
        places.setdefault(identity, set()).add("test")
    return places
