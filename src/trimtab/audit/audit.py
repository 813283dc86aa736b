"""Is the data good enough to decide with? Every check flags rows; none ever drops one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trimtab.audit import rows, targets
from trimtab.audit.subject import Subject
from trimtab.task.split import Split
from trimtab.types import Example, Finding, OutputContract

CHECKS: tuple[Callable[[Subject], Finding | None], ...] = (
    rows.size,
    rows.leakage,
    rows.exact_duplicates,
    rows.near_duplicates,
    rows.conflicting_targets,
    rows.approved,
    targets.contract_violations,
    targets.label_balance,
    targets.field_frequency,
    targets.input_length,
    targets.target_length,
)
"""A check gives one finding, also where all is well; None where it does not apply."""


def audit(
    examples: Sequence[Example],
    split: Split,
    contract: OutputContract,
    clusters: Sequence[int],
) -> tuple[Finding, ...]:
    """Check the rows and how they were split. Exact copies count once in all checks but their own.

    Args:
        clusters: the near-duplicate cluster of each example, as given to `make_split`.
    """
    first: dict[str, tuple[Example, int]] = {}
    copies: list[Example] = []
    for row, cluster in zip(examples, clusters, strict=True):
        if row.id in first:
            copies.append(row)
        else:
            first[row.id] = (row, cluster)
    distinct, numbers = zip(*first.values(), strict=True)
    subject = Subject(distinct, numbers, copies, split, contract)
    findings = (check(subject) for check in CHECKS)
    return tuple(found for found in findings if found is not None)
