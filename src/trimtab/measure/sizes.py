"""On how many rows the fine-tune arm trains: nested sizes, as its share of the budget pays."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from trimtab.task.spec import Task
from trimtab.task.split import MIN_TRAIN
from trimtab.types import Spent

USUAL_SMALLEST = 50
"""Of the nested sizes, where the largest is at least four times as many."""
FEWEST_SIZES, MOST_SIZES = 3, 6
"""A forecast needs three, and checks itself on the fourth and those after it."""
NARROWEST_RATIO = 1.5
"""Sizes nearer to each other differ by little but luck, and tell nothing of what follows."""
TRAINING_SLACK = 1.25
"""Times its estimate that training may take before the largest size, which comes last, is lost: 305
and 329 seconds were measured where 263 and 264 were planned (addresses)."""

Cost = Callable[[Sequence[int], bool], Spent]
"""Of training these sizes, after a sweep of the learning rate on the first of them, or without."""


def train_sizes(
    task: Task, available: int, cost: Cost, share: Spent
) -> tuple[tuple[int, ...], str | None]:
    """Nested sizes of at most `available` rows that the arm's share pays for, and why there are
    none. Those that the task states are taken as they are.

    The largest comes first, with the fewest sizes below it; then as many as the rest of the share
    pays for. Each goes on from the one before, so that it costs its own epochs and no others'.
    Where what a fine-tune loses elsewhere counts, one training more must fit, for a remedy.
    """
    if task.search.train_sizes:
        return tuple(sorted({min(size, available) for size in task.search.train_sizes})), None
    top = available
    while top >= MIN_TRAIN:
        fewest = nested_sizes(top, FEWEST_SIZES)
        needed = cost(fewest, True)
        if _fits(needed, share):
            remedied = task.constraints.general_ability == "needed"
            more = cost((top,), False) if remedied else Spent(stage=needed.stage)
            tried = (nested_sizes(top, count) for count in range(MOST_SIZES, FEWEST_SIZES, -1))
            paid = (sizes for sizes in tried if _fits(cost(sizes, True) + more, share))
            return next(paid, fewest), None
        top = math.floor(top * 0.95)
    what, limit = f"{share.seconds / 60:.1f} minutes", "minutes"
    if _fits(needed.model_copy(update={"money": 0.0}), share):
        what, limit = f"{share.money:.2f} {task.currency}", "money"
    return (), (
        f"the fine-tune arm's share of the budget, {what}, is too little to train on "
        f"{MIN_TRAIN} rows; raise budget.{limit}"
    )


def nested_sizes(top: int, count: int) -> tuple[int, ...]:
    """Up to `count` sizes in geometric steps to `top`: from 50, or from a quarter of `top` where it
    is below 200; fewer where they would lie nearer than NARROWEST_RATIO, and `top` alone below
    three."""
    first = max(MIN_TRAIN, min(USUAL_SMALLEST, top // 4))
    if top < first * NARROWEST_RATIO ** (FEWEST_SIZES - 1):
        return (top,)
    steps = count - 1
    while first * NARROWEST_RATIO**steps > top:
        steps -= 1
    return tuple(round(first * (top / first) ** (step / steps)) for step in range(steps + 1))


def _fits(needed: Spent, share: Spent) -> bool:
    return TRAINING_SLACK * needed.seconds <= share.seconds and needed.money <= share.money
