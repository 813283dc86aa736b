"""The numbers of the rule that no task file sets. They are part of the rule's hash."""

from __future__ import annotations

from dataclasses import dataclass

from trimtab.types import FAILURE_CAP


@dataclass(frozen=True)
class Thresholds:
    """Shares and probabilities in 0..1, rows and days as counts."""

    stable_days: int = 30
    fewest_rows: int = 100
    """Training rows below which no fine-tune may win."""
    rows_for_any_task: int = 500
    """Below this a fine-tune may only adapt the format: label or JSON outputs."""
    approved_share: float = 0.9
    probability_of_paying: float = 0.67
    """Two to one. The gain itself is shown at 95%; asking for 90% of the money too kept eight teams
    from a fine-tune that paid for each that it kept from one that did not (docs/truth.md)."""
    probability_of_paying_ahead: float = 0.5
    """Of a fine-tune for which rows must be labelled first. Less is asked of it, since labels bind
    nobody: with them, the task is decided anew."""
    failure_cap: float = FAILURE_CAP
    """Share of failed calls above which nothing is concluded."""
    relative_gain: float = 0.2
    """Least saving in cost or latency that counts: twice the price error that money.py assumes."""
    judge_kappa: float = 0.4
    judge_reviews: int = 30
    """People's grades below which a judge's agreement with them is too unsure to rest on."""


THRESHOLDS = Thresholds()

GUIDE = "guide: when prompting is enough, when tuning pays"
CHOICE = "Trimtab's choice"
"""Sources of thresholds; a third is the name of a key in the task file."""
