"""Checks of what single rows say: targets against the contract, balance, and odd lengths."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Iterator
from typing import cast

import numpy as np
from pydantic import JsonValue

from trimtab.audit.slices import FEW_ROWS
from trimtab.audit.subject import Flagged, Look, Subject, finding, flagged_at
from trimtab.types import Finding, Flag

MAJORITY = 0.9
"""A label with this share makes accuracy look good for an answer that never reads the input."""

ROBUST_Z = 3.5
"""Outlier limit for the modified z-score, from Iglewicz and Hoaglin (1993), How to Detect and
Handle Outliers, section 3.5."""

MIN_ROWS_FOR_OUTLIERS = 30
_REASONS_SHOWN = 5
_LABELS_SHOWN = 12


class ContractViolations:
    def __init__(self, subject: Subject) -> None:
        self._broken = Flagged(subject.listed)

    def see(self, look: Look) -> None:
        reason = look.parsed[1]
        if reason is not None:
            self._broken.add(look.row, reason)

    def findings(self) -> Iterator[Finding]:
        broken = self._broken
        if not broken.count:
            message = "every target keeps the output contract"
            yield finding("contract-violations", "info", message)
            return
        shown = "; ".join(
            f"{each.source or each.row}: {each.why}" for each in broken.flags[:_REASONS_SHOWN]
        )
        more = " …" if broken.count > _REASONS_SHOWN else ""
        message = (
            f"{broken.count:,} targets break the output contract, so no right answer to them is "
            f"valid; {shown}{more}"
        )
        yield finding("contract-violations", "warn", message, broken.flags, broken.count)


class _Shares:
    """Counts rows by value, and lists the first of those whose value stays rare."""

    def __init__(self) -> None:
        self.rows = 0
        self.counts: Counter[str] = Counter()
        self._early: dict[str, list[Flag]] = {}

    def add(self, value: str, look: Look, why: str) -> None:
        self.counts[value] += 1
        if self.counts[value] <= FEW_ROWS:
            row = look.row
            early = self._early.setdefault(value, [])
            early.append(Flag(row=row.id, source=row.source, why=why))
        else:
            self._early.pop(value, None)

    def rare_rows(self, rare: list[str]) -> list[Flag]:
        return [each for value in rare for each in self._early.get(value, ())]


class LabelBalance:
    def __init__(self, subject: Subject) -> None:
        self._labels = subject.contract.labels
        self._shares = _Shares()

    def see(self, look: Look) -> None:
        self._shares.rows += 1
        target = look.row.target
        if target in self._labels:
            self._shares.add(target, look, f"one of few rows of {target}")

    def findings(self) -> Iterator[Finding]:
        if not self._labels:
            return
        counts = {label: self._shares.counts[label] for label in self._labels}
        top = max(counts, key=lambda label: counts[label])
        share = counts[top] / self._shares.rows
        rare = [label for label, count in counts.items() if count < FEW_ROWS]
        shown = sorted(counts.items(), key=lambda each: -each[1])
        spread = ", ".join(f"{label} {count:,}" for label, count in shown[:_LABELS_SHOWN])
        more = f" and {len(shown) - _LABELS_SHOWN} more" if len(shown) > _LABELS_SHOWN else ""
        message = (
            f"rows by label: {spread}{more}; always answering {top!r} is right for {share:.0%}"
        )
        if rare:
            message += f"; fewer than {FEW_ROWS} rows of: {', '.join(rare)}"
        yield finding(
            "label-balance",
            "warn" if rare or share >= MAJORITY else "info",
            message,
            self._shares.rare_rows(rare),
            figures={"majority": share},
            collect={f"label {label}": FEW_ROWS - counts[label] for label in rare},
        )


class FieldFrequency:
    def __init__(self, subject: Subject) -> None:
        schema = subject.contract.json_schema
        self._declared = cast(dict[str, JsonValue], schema.get("properties", {}))
        self._shares = _Shares()

    def see(self, look: Look) -> None:
        self._shares.rows += 1
        if self._declared and isinstance(look.parsed[0], dict):
            for name in look.parsed[0]:
                self._shares.add(name, look, f"one of few rows with {name}")

    def findings(self) -> Iterator[Finding]:
        if not self._declared:
            return
        counts = Counter({name: self._shares.counts[name] for name in self._declared})
        rare = [name for name, count in counts.items() if count < FEW_ROWS]
        spread = ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
        message = f"of {self._shares.rows:,} rows, so many have each field: {spread}"
        if rare:
            message += f"; too rare to learn or to judge (under {FEW_ROWS} rows): {', '.join(rare)}"
        yield finding(
            "field-frequency",
            "warn" if rare else "info",
            message,
            self._shares.rare_rows(rare),
            collect={f"field {name}": FEW_ROWS - counts[name] for name in rare},
        )


class Lengths:
    """Odd lengths of inputs and targets, judged on the log scale: texts have a long right tail."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._places = array("q")
        self._inputs = array("l")
        self._targets = array("l")

    def see(self, look: Look) -> None:
        self._places.append(look.place)
        self._inputs.append(len(look.row.input))
        self._targets.append(len(look.row.target))

    def findings(self) -> Iterator[Finding]:
        yield self._finding("input", self._inputs)
        if self._subject.contract.kind != "label":
            yield self._finding("target", self._targets)

    def _finding(self, part: str, lengths: array[int]) -> Finding:
        check = f"{part}-length"
        if len(lengths) < MIN_ROWS_FOR_OUTLIERS:
            message = f"{part} lengths not judged: that needs {MIN_ROWS_FOR_OUTLIERS} rows"
            return finding(check, "info", message)
        values = np.log(np.maximum(np.asarray(lengths, dtype=np.float64), 1))
        median = float(np.median(values))
        deviation = float(np.median(np.abs(values - median)))
        if deviation == 0:
            message = f"{part} lengths not judged: more than half of them are the same"
            return finding(check, "info", message)
        z = 0.6745 * (values - median) / deviation
        odd = np.flatnonzero(np.abs(z) > ROBUST_Z)
        spread = (
            f"{part}s have {min(lengths):,} to {max(lengths):,} characters, "
            f"median {math.exp(median):.0f}"
        )
        if not len(odd):
            return finding(check, "info", f"{spread}; none stands out")
        message = (
            f"{spread}; {len(odd):,} are far from the rest (robust z of the log above {ROBUST_Z})"
        )
        worst = odd[np.argsort(-np.abs(z[odd]), kind="stable")]
        flags = flagged_at(self._subject, (self._places[i] for i in worst.tolist()))
        return finding(check, "warn", message, flags, len(odd))
