"""What a fine-tune would pay once the rows are there that the learning curve asks for."""

from __future__ import annotations

import math

import numpy as np

from trimtab.decide.evidence import band
from trimtab.decide.money import Effort, money
from trimtab.store.watching import Traffic
from trimtab.task.spec import Task
from trimtab.task.split import labels_to_train
from trimtab.types import Comparison, Forecast, Interval, Money, VariantScore


def money_ahead(
    task: Task,
    prompt: VariantScore,
    tune: VariantScore,
    comparison: Comparison | None,
    effort: Effort,
    outlook: Forecast | None,
    served: Traffic | None = None,
) -> Money | None:
    """The money of a fine-tune that just reaches the goal of quality, on as many rows as `outlook`
    says that takes; those beyond the rows at hand are bought, and those that join dev and test.

    A call of it costs what one of `tune` does, and training as much a row. What was trained until
    now is spent either way and left out. None where the goal is not reached with more rows than
    there are, or where the money cannot be worked out.
    """
    known = band(prompt.quality)
    if comparison is None or outlook is None or known is None:
        return None
    rows = outlook.rows_needed
    if rows is None or rows <= outlook.rows_now or not outlook.curve:
        return None
    longer = rows / effort.labels_used
    training = longer * effort.retrain_seconds, round(longer * effort.retrain_tokens)
    labels = labels_to_train(outlook.rows_now, rows, task.data.dev, task.data.test)
    bought = Effort(*training, *training, labels_used=rows, labels_to_buy=labels)
    gain = _gain(known, outlook, rows)
    then = comparison.model_copy(update={"difference": gain})
    return money(task, prompt, tune, then, bought, served).money


def _gain(prompt: tuple[float, float, float], outlook: Forecast, rows: int) -> Interval:
    """From the prompt's quality to the goal, as sure as both the prompt and the curve are."""
    at, _, low, high = np.array(outlook.curve).T
    half = math.hypot(prompt[2] - prompt[1], float(np.interp(rows, at, high - low))) / 2
    estimate = outlook.goal - prompt[0]
    return Interval(
        estimate=estimate,
        low=estimate - half,
        high=estimate + half,
        n=0,
        method="goal less the prompt, by the learning curve",
    )
