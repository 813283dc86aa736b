"""Is the data good enough to decide with? Every check flags rows; none ever drops one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from trimtab.audit import coverage, hygiene, review, rows, semantic, slices, suspects, targets
from trimtab.audit.difficulty import Attempts, difficulty, read_attempts
from trimtab.audit.subject import RowCheck, Subject, Table, walk
from trimtab.errors import DataError
from trimtab.types import Example, Finding

ROW_CHECKS: tuple[Callable[[Subject], RowCheck], ...] = (
    targets.ContractViolations,
    targets.LabelBalance,
    targets.FieldFrequency,
    targets.Lengths,
    review.Approved,
    hygiene.PersonalData,
    hygiene.Encoding,
    hygiene.Truncation,
    hygiene.Languages,
    slices.Slices,
)
"""See every distinct row once, all in one pass."""

SET_CHECKS: tuple[Callable[[Subject, Table], Finding | None], ...] = (
    rows.size,
    rows.leakage,
    rows.exact_duplicates,
    rows.near_duplicates,
    semantic.semantic_duplicates,
    rows.conflicting_targets,
    rows.noise_ceiling,
    review.reviewer_agreement,
    suspects.suspected_targets,
    coverage.coverage,
    coverage.drift,
)
"""Look at all rows together, or at a bounded sample. None where a check does not apply."""


def audit(subject: Subject, attempts: Attempts | None = None) -> tuple[Finding, ...]:
    """Check the rows and how they were split. Exact copies count once in all checks but their own.

    A check gives a finding also where all is well, and where it could not be made (`measured` is
    then False). Time is linear in the rows; 41 bytes are kept of each, and lists that are bounded.

    Args:
        attempts: how right earlier answers or trainings were on each row, where a run exists.
    """
    looking = [check(subject) for check in ROW_CHECKS]
    table = walk(subject, looking)
    found = [each for check in SET_CHECKS if (each := check(subject, table)) is not None]
    found += [each for check in looking for each in check.findings()]
    found.append(difficulty(subject.rows if attempts else (), attempts or {}, subject.listed))
    return (*found, slices.collect_next(found))


def refuse_leaks(findings: Iterable[Finding]) -> None:
    """Raises DataError where the splits share rows: no figure from such a test means anything."""
    for found in findings:
        if found.check == "leakage" and found.severity == "stop":
            raise DataError(found.message)


def with_difficulty(
    findings: Iterable[Finding], examples: Iterable[Example], run: Path, metric: str
) -> tuple[Finding, ...]:
    """The findings with what the run's trainings and dev records say of how hard the rows are."""
    measured = difficulty(examples, read_attempts(run, metric))
    return tuple(measured if each.check == measured.check else each for each in findings)
