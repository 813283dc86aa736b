"""Checks of what the rows say: targets against the contract, balance, and odd lengths."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import cast

import numpy as np
from pydantic import JsonValue

from trimtab.audit.subject import Subject, finding, grouped
from trimtab.task.contract import parse, violation
from trimtab.types import Example, Finding

FEW_ROWS = 10
"""A label or field seen in fewer rows than this cannot be judged: one error moves its score by
more than a tenth."""

MAJORITY = 0.9
"""A label with this share makes accuracy look good for an answer that never reads the input."""

ROBUST_Z = 3.5
"""Outlier limit for the modified z-score, from Iglewicz and Hoaglin (1993), How to Detect and
Handle Outliers, section 3.5."""

MIN_ROWS_FOR_OUTLIERS = 30
_REASONS_SHOWN = 5


def contract_violations(subject: Subject) -> Finding:
    reasons = [(row, violation(subject.contract, row.target)) for row in subject.rows]
    broken = [(row, reason) for row, reason in reasons if reason is not None]
    if not broken:
        return finding("contract-violations", "info", "every target keeps the output contract")
    shown = "; ".join(f"{row.source or row.id}: {why}" for row, why in broken[:_REASONS_SHOWN])
    more = " …" if len(broken) > _REASONS_SHOWN else ""
    message = (
        f"{len(broken):,} targets break the output contract, so no right answer to them is valid; "
        f"{shown}{more}"
    )
    return finding("contract-violations", "warn", message, (row for row, _ in broken))


def label_balance(subject: Subject) -> Finding | None:
    if subject.contract.kind != "label":
        return None
    groups = grouped((row.target for row in subject.rows), subject.rows)
    counts = {label: len(groups.get(label, ())) for label in subject.contract.labels}
    top = max(counts, key=lambda label: counts[label])
    share = counts[top] / len(subject.rows)
    rare = [label for label, count in counts.items() if count < FEW_ROWS]
    spread = ", ".join(f"{label} {count:,}" for label, count in counts.items())
    message = f"rows by label: {spread}; always answering {top!r} is right for {share:.0%}"
    if rare:
        message += f"; fewer than {FEW_ROWS} rows of: {', '.join(rare)}"
    rows = [row for label in rare for row in groups.get(label, ())]
    return finding("label-balance", "warn" if rare or share >= MAJORITY else "info", message, rows)


def field_frequency(subject: Subject) -> Finding | None:
    if subject.contract.kind != "json":
        return None
    rows_with: dict[str, list[Example]] = {}
    for row in subject.rows:
        for field in _fields(subject, row):
            rows_with.setdefault(field, []).append(row)
    declared = cast(dict[str, JsonValue], subject.contract.json_schema.get("properties", {}))
    counts = Counter({field: len(rows_with.get(field, ())) for field in declared})
    rare = [field for field, count in counts.items() if count < FEW_ROWS]
    spread = ", ".join(f"{field} {count:,}" for field, count in counts.most_common())
    message = f"of {len(subject.rows):,} rows, so many have each field: {spread}"
    if rare:
        message += f"; too rare to learn or to judge (under {FEW_ROWS} rows): {', '.join(rare)}"
    rows = [row for field in rare for row in rows_with.get(field, ())]
    return finding("field-frequency", "warn" if rare else "info", message, rows)


def input_length(subject: Subject) -> Finding:
    return _length_outliers("input-length", subject, [len(row.input) for row in subject.rows])


def target_length(subject: Subject) -> Finding | None:
    if subject.contract.kind == "label":
        return None
    return _length_outliers("target-length", subject, [len(row.target) for row in subject.rows])


def _fields(subject: Subject, row: Example) -> list[str]:
    try:
        value = parse(subject.contract, row.target)
    except ValueError:
        return []  # listed by contract_violations
    return list(cast(dict[str, JsonValue], value))


def _length_outliers(check: str, subject: Subject, lengths: Sequence[int]) -> Finding:
    """Judged on the log scale, because lengths of texts have a long tail to the right."""
    part = check.removesuffix("-length")
    if len(lengths) < MIN_ROWS_FOR_OUTLIERS:
        message = f"{part} lengths not judged: that needs {MIN_ROWS_FOR_OUTLIERS} rows"
        return finding(check, "info", message)
    values = np.log(np.asarray(lengths, dtype=np.float64))
    median = float(np.median(values))
    deviation = float(np.median(np.abs(values - median)))
    if deviation == 0:
        message = f"{part} lengths not judged: more than half of them are the same"
        return finding(check, "info", message)
    z = 0.6745 * (values - median) / deviation
    odd = [subject.rows[i] for i in np.flatnonzero(np.abs(z) > ROBUST_Z).tolist()]
    spread = (
        f"{part}s have {min(lengths):,} to {max(lengths):,} characters, "
        f"median {math.exp(median):.0f}"
    )
    if not odd:
        return finding(check, "info", f"{spread}; none stands out")
    message = f"{spread}; {len(odd):,} are far from the rest (robust z of the log above {ROBUST_Z})"
    return finding(check, "warn", message, odd)
