"""Which rows are hard: from how a training learnt them, or from how variants answered them.

The three regions are those of dataset cartography (Swayamdipta et al. 2020, EMNLP): by the mean
and the spread of a row's attempts. The limits are Trimtab's choice.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from trimtab.audit.subject import MAX_LISTED, Flagged, finding, unmeasured
from trimtab.errors import RunError
from trimtab.store.files import read_lines, read_records
from trimtab.types import Example, Finding, Scored

DYNAMICS_FILE = "dynamics.jsonl"
"""In a folder of `adapters/`: a line `{"example", "epoch", "loss"}` for each row and epoch. The
loss is the mean negative log-likelihood of the target's tokens, before the row's update."""

HARD, EASY = 1 / 3, 2 / 3
SPREAD = 0.2
"""A row whose attempts differ by more than this (standard deviation) is ambiguous."""

MIN_ROWS = 20
CHALLENGING = 0.1
"""Below this share of hard and ambiguous rows, the data hardly tests a model's limits."""

Region: TypeAlias = Literal["easy", "ambiguous", "hard"]
Attempts: TypeAlias = Mapping[str, Sequence[float]]
"""Of an example's id: how right each attempt was, 0 to 1."""


def region(attempts: Sequence[float]) -> Region:
    mean = sum(attempts) / len(attempts)
    spread = math.sqrt(sum((each - mean) ** 2 for each in attempts) / len(attempts))
    if spread > SPREAD:
        return "ambiguous"
    return "hard" if mean < HARD else "easy" if mean >= EASY else "ambiguous"


def difficulty(rows: Iterable[Example], attempts: Attempts, listed: int = MAX_LISTED) -> Finding:
    """The share of easy, ambiguous and hard rows among those with two or more attempts."""
    counts: Counter[str] = Counter()
    hard = Flagged(listed)
    seen: set[str] = set()
    for row in rows:
        tried = attempts.get(row.id, ())
        if len(tried) < 2 or row.id in seen:
            continue
        seen.add(row.id)
        found = region(tried)
        counts[found] += 1
        if found == "hard":
            mean = sum(tried) / len(tried)
            hard.add(row, f"on average {mean:.2f} right in {len(tried)} attempts")
    total = counts.total()
    if total < MIN_ROWS:
        message = (
            f"how hard the rows are is unknown: {total} were answered or learnt more than once; "
            "`trimtab decide` measures it on dev"
        )
        return unmeasured("difficulty", message)
    shares = {name: counts[name] / total for name in ("easy", "ambiguous", "hard")}
    spread = ", ".join(f"{share:.0%} {name}" for name, share in shares.items())
    message = (
        f"of {total:,} rows with several attempts {spread}; the hard ones are hard, or their "
        "targets are wrong: look at them first"
    )
    tame = 1 - shares["easy"] < CHALLENGING
    if tame:
        message += "; hardly any row tests a model's limits, so collect hard and edge cases"
    return finding(
        "difficulty", "warn" if tame else "info", message, hard.flags, hard.count, shares
    )


def read_attempts(run: Path, metric: str) -> dict[str, list[float]]:
    """All attempts that a run keeps: the likelihood of each target in every epoch, and the score
    of every variant on dev.

    Raises:
        RunError: a file of the run is damaged; with its line.
    """
    attempts: dict[str, list[float]] = {}
    for path in sorted((run / "adapters").glob(f"**/{DYNAMICS_FILE}")):
        for number, line in read_lines(path):
            example, loss = _dynamics(path, number, line)
            attempts.setdefault(example, []).append(math.exp(-loss))
    for path in sorted((run / "records").glob("*-dev.jsonl")):
        for record in read_records(path):
            if isinstance(record.outcome, Scored):
                score = record.outcome.metrics[metric]
                attempts.setdefault(record.example, []).append(score)
    return attempts


def _dynamics(path: Path, number: int, line: bytes) -> tuple[str, float]:
    try:
        fact = json.loads(line)
        example, loss = fact["example"], float(fact["loss"])
        if not isinstance(example, str) or not loss >= 0:
            raise ValueError("`example` must be text, and `loss` not negative")
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}:{number}: damaged: {error}") from None
    return example, loss
