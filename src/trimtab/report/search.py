"""The prompt search in words and rows, for the report and the terminal."""

from __future__ import annotations

from trimtab.report import values
from trimtab.types import Searched, Sensitivity, Trial


def exhausted_told(searched: Searched) -> str:
    """Whether more search would pay, in a sentence."""
    if searched.plateau is None:
        return "No prompt was measured."
    said = searched.plateau.statement
    cut = "" if searched.complete else " The budget ended before all hand-made prompts were tried."
    return f"{said[0].upper()}{said[1:]}.{cut}"


def ranked_trials(searched: Searched) -> list[Trial]:
    """Prompts that saw all dev rows, best first; then those that were stopped, last ones first."""
    return sorted(
        searched.trials,
        key=lambda t: (t.ended != "finished", -t.rows if t.ended != "finished" else 0, _below(t)),
    )


def why_ended(trial: Trial) -> str:
    """Why a prompt saw no more rows, in words."""
    if trial.ended == "finished":
        return "saw all rows"
    return f"behind {trial.behind}" if trial.ended == "behind" else "the budget was spent"


def race_told(searched: Searched) -> str:
    """How many prompts were tried and stopped, and what that saved."""
    stopped = sum(trial.ended == "behind" for trial in searched.trials)
    saved = searched.calls_of_grid - searched.calls
    told = (
        f"{len(searched.trials)} prompts were tried; {stopped} were stopped early, once it was "
        f"clear that they end behind the best. That saved {values.count(saved)} of "
        f"{values.count(searched.calls_of_grid)} calls. The chance that this stopped a prompt "
        f"which would have led its stage is at most {100 * searched.error:.0f}{values.SPACE}%."
    )
    if searched.headroom is not None:
        told += (
            f" By hand the prompts gained {100 * searched.headroom:+.1f} points over the "
            "instructions alone."
        )
    return told


def layouts_told(found: Sensitivity) -> str:
    """Mean, worst and spread of the layouts in a sentence."""
    spread = "" if found.spread is None else f", standard deviation {values.score(found.spread)}"
    return (
        f"{len(found.layouts)} of {found.planned} layouts on {values.count(found.rows)} dev rows: "
        f"mean {values.score(found.mean)}, worst {values.score(found.worst)}{spread} without the "
        "noise of the rows."
    )


def _below(trial: Trial) -> float:
    return 0.0 if trial.quality is None else -trial.quality
