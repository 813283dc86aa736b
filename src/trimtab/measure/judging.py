"""The judge model of a task: made for a run, and booked on its meter."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from trimtab.engine.base import Engine
from trimtab.engine.cache import RequestCache
from trimtab.engine.registry import make_engine
from trimtab.errors import BudgetSpent
from trimtab.measure.bench import call_price
from trimtab.measure.meter import JUDGING, Meter
from trimtab.score.base import Answered
from trimtab.score.judge import Judge
from trimtab.store.run import Run
from trimtab.task.spec import ModelSpec, Task
from trimtab.types import Completion, Example, Failed, Spent

_TRIED = 2
"""Rows graded to learn what judging takes."""


@dataclass(frozen=True)
class MeteredAccount:
    """Books a judge's calls on the run's meter, as a stage of their own."""

    meter: Meter
    spec: ModelSpec

    def allowance(self) -> int:
        self.meter.check()
        return self.meter.calls_left

    def book(self, answer: Completion | Failed) -> None:
        used = _use(self.spec, answer)
        self.meter.book(
            stage=JUDGING,
            calls=used.calls,
            tokens_in=used.tokens_in,
            tokens_out=used.tokens_out,
            money=used.money,
        )


@dataclass
class Tally:
    """Adds up a judge's calls where no budget limits them."""

    spec: ModelSpec
    spent: Spent = field(default_factory=lambda: Spent(stage=JUDGING))

    def allowance(self) -> int:
        return sys.maxsize

    def book(self, answer: Completion | Failed) -> None:
        self.spent += _use(self.spec, answer)


def make_judge(
    task: Task,
    prompt_engine: Engine,
    cache: RequestCache,
    meter: Meter,
    note: Callable[[str], None],
) -> Judge | None:
    """The judge that the task names; it shares the engine of a prompted model that is the same."""
    spec = task.scoring.judge
    if spec is None:
        return None
    engine = prompt_engine if spec.model == task.models.prompt else make_engine(spec.model, note)
    return Judge(spec, engine, cache, MeteredAccount(meter, spec.model))


def use_per_answer(judge: Judge, rows: Sequence[Example], run: Run) -> Spent:
    """What judging one answer takes, from grading the targets of two rows, rounded up.

    Nothing where all of it comes from the cache of an earlier run, as most later calls then do.
    """
    tried = [Answered(row.input, row.target, row.target) for row in rows[:_TRIED]]
    before, started = _booked(run), time.monotonic()
    with suppress(BudgetSpent):  # the first stage after this meets it too
        judge.grade(tried)
    seconds, after = time.monotonic() - started, _booked(run)

    def each(more: int) -> int:
        return math.ceil(more / len(tried))

    return Spent(
        stage=JUDGING,
        calls=each(after.calls - before.calls),
        tokens_in=each(after.tokens_in - before.tokens_in),
        tokens_out=each(after.tokens_out - before.tokens_out),
        seconds=seconds / len(tried),
        money=(after.money - before.money) / len(tried),
    )


def _use(spec: ModelSpec, answer: Completion | Failed) -> Spent:
    if isinstance(answer, Failed):
        return Spent(stage=JUDGING, calls=answer.attempts)
    return Spent(
        stage=JUDGING,
        calls=answer.attempts,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        money=call_price(spec, answer),
    )


def _booked(run: Run) -> Spent:
    return sum((s for s in run.spent() if s.stage == JUDGING), Spent(stage=JUDGING))
