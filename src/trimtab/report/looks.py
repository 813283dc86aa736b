"""How the finalists' difference was read on the sealed test, and what its interval allows for."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.compare.looking import ALPHA, CLAIMS
from trimtab.report import values
from trimtab.types import Comparison, Decision

_MOST_EVIDENCE = 1_000_000


@dataclass(frozen=True)
class Reading:
    """One way to read the same paired rows."""

    name: str
    difference: str
    says: str
    decides: bool


def looked(decision: Decision) -> str:
    """How the sealed test was looked at on the way; empty where it was not."""
    comparison = decision.comparison
    found = comparison.sequential if comparison is not None else None
    if comparison is None or found is None:
        return ""
    asked = f"The test was looked at {found.looks} times"
    if not found.rows_saved:
        clear = "was not clear before its last rows"
        if found.clear_after is not None:
            clear = f"was clear after {values.count(found.clear_after)} rows"
        return f"{asked}, and {clear}. It did not end early, so all its rows decide."
    fixed = values.interval(comparison.fixed_rows, signed=True)
    return (
        f"{asked} and ended once its answer was clear, which saved each finalist "
        f"{values.count(found.rows_saved)} rows. The interval above allows for the looks. That of "
        f"a fixed number of rows would be {fixed}, and is too narrow here."
    )


def readings(decision: Decision) -> list[Reading]:
    """The difference by a fixed number of rows, by looks on the way, and with what it allows for
    besides rows; empty without looks."""
    comparison = decision.comparison
    found = comparison.sequential if comparison is not None else None
    if comparison is None or found is None:
        return []
    early = found.rows_saved > 0
    fixed = comparison.fixed_rows or comparison.rows_alone or comparison.difference
    outcome = {
        "superior": "the fine-tune is better, and as measured by enough to matter",
        "futile": "the fine-tune is not better by enough to matter",
        "open": "not clear by the last row",
    }[found.outcome]
    evidence = (
        f"{outcome}. Evidence against no gain {_times(found.e_superior)} (asked "
        f"{values.count(CLAIMS / ALPHA)}), against a gain that matters {_times(found.e_futile)} "
        f"(asked {values.count(1 / ALPHA)})"
    )
    alone = "too narrow: the rows ended when the answer was clear"
    widened = bool(comparison.widened_by)
    told = [
        Reading(
            f"{values.count(found.rows_used)} rows, read once",
            values.interval(fixed, signed=True),
            alone if early else _of_rows(comparison),
            not (early or widened),
        ),
        Reading(
            f"Bets at {values.count(found.looks)} looks",
            values.interval(found.interval, signed=True),
            evidence,
            early and not widened,
        ),
    ]
    if widened:
        told.append(
            Reading(
                f"With {' and '.join(comparison.widened_by)}",
                values.interval(comparison.difference, signed=True),
                f"{'the bets' if early else 'the rows'} and how far these move it, "
                f"{values.p_value(comparison.p_value)}",
                True,
            )
        )
    return told


def judged_by(comparison: Comparison) -> str:
    """The test of the difference, and what it gave; beside it what the whole interval says."""
    if not comparison.widened_by:
        return _of_rows(comparison)
    return f"{_of_rows(comparison)} over rows alone, {values.p_value(comparison.p_value)} in all"


def _of_rows(comparison: Comparison) -> str:
    p_value = comparison.rows_alone_p if comparison.widened_by else comparison.p_value
    return f"{comparison.test}, {values.p_value(p_value)}"


def _times(evidence: float) -> str:
    """How many times a stake has multiplied."""
    if evidence > _MOST_EVIDENCE:
        return f"above {_MOST_EVIDENCE:,}"
    return values.count(evidence) if evidence >= 10 else f"{evidence:.2g}"


def drawn(decision: Decision) -> str:
    """What the interval of the difference allows for besides rows, and what it does not."""
    found = decision.comparison
    if found is None:
        return ""
    told = ""
    if found.widened_by:
        parts = " and ".join(
            f"{name} (±{values.SPACE}{values.score(half)})"
            for name, half in found.widened_by.items()
        )
        alone = values.interval(found.rows_alone, signed=True)
        told = f"The interval allows for {parts}; over rows alone it is {alone}."
    if found.not_in_interval:
        missing = " and ".join(found.not_in_interval)
        told += f" Not in it, because it was not drawn often enough to tell: {missing}."
    return told.strip()
