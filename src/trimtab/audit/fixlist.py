"""The flagged rows as a spreadsheet, for those who know the task."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from trimtab.audit.personal import mask_all
from trimtab.types import Example, Finding

LISTED = 10_000
"""Rows that the list holds of one check at most."""

HEADER = ("source", "row", "check", "severity", "why", "suggestion", "input", "target", "done")
_SHOWN = 300
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""Cells that begin so are run by spreadsheets as formulas (OWASP, CSV Injection)."""


def fix_list(findings: Sequence[Finding], rows: Iterable[Example]) -> str:
    """CSV with a line for each flagged row of each warning, in the order of the file.

    Personal data is masked, and no cell can act as a formula.
    """
    grave = [each for each in findings if each.severity != "info"]
    wanted = {each.row for found in grave for each in found.flags}
    texts: dict[str, tuple[int, Example]] = {}
    for place, row in enumerate(rows):
        if row.id in wanted:
            texts.setdefault(row.id, (place, row))
    lines: list[tuple[int, tuple[str, ...]]] = []
    for found in grave:
        for each in found.flags:
            place, shown = texts.get(each.row, (len(texts), None))
            text = (shown.input, shown.target) if shown else ("", "")
            where = (each.source, each.row, found.check, found.severity)
            lines.append((place, (*where, each.why, each.suggestion, *text)))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    for _, cells in sorted(lines, key=lambda line: line[0]):
        writer.writerow([*(_safe(cell) for cell in cells), ""])
    return file.getvalue()


def _safe(cell: str) -> str:
    text = mask_all(cell[:_SHOWN]) + ("…" if len(cell) > _SHOWN else "")
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
