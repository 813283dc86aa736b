"""Books what a run uses as it uses it, and stops it at its hard budget."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from trimtab.errors import BudgetSpent
from trimtab.store.run import Run
from trimtab.task.spec import Budget
from trimtab.types import Arm, Spent

JUDGING = "judge"
"""Stage of all calls to a judge model, by the arm whose answers it judges."""


class Progress(Protocol):
    """Hears what a run does, for a progress bar."""

    def plan(self, planned: Sequence[Spent], spent: Sequence[Spent]) -> None:
        """Called once before the work: what is planned, and what earlier sittings did of it."""

    def note(self, text: str) -> None:
        """One line for a person: something begins."""

    def advance(self, spent: Spent) -> None:
        """This much more was done."""


class Silent:
    """No progress bar."""

    def plan(self, planned: Sequence[Spent], spent: Sequence[Spent]) -> None: ...

    def note(self, text: str) -> None: ...

    def advance(self, spent: Spent) -> None: ...


class Meter:
    """The run's account. What is used is on disk before the next unit of work starts, so that the
    budget holds over kills and resumes."""

    def __init__(self, run: Run, budget: Budget, progress: Progress) -> None:
        self._run = run
        self._budget = budget
        self._progress = progress
        self._total = sum(run.spent(), Spent(stage="total"))
        self._stage = Spent(stage="")
        self._stage_limit: float | None = None
        self._stage_seconds = 0.0
        self._until: float | None = None
        self._since = time.monotonic()
        self.stopped_by: str | None = None
        """Which budget ended a stage early, in words."""

    @contextmanager
    def stage(
        self,
        name: str,
        arm: Arm | None = None,
        seconds: float | None = None,
        until: float | None = None,
    ) -> Iterator[None]:
        """Book all work inside to this stage, which may use `seconds` over all sittings, and go on
        `until` the whole run has worked so many.

        Time is booked also where the work ends in an error or is interrupted.
        """
        self._stage = Spent(stage=name, arm=arm)
        self._stage_limit, self._until = seconds, until
        self._stage_seconds = sum(
            spent.seconds
            for spent in self._run.spent()
            if spent.stage == name or (arm is not None and spent.key == (JUDGING, arm))
        )
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._book(self._stage)

    @contextmanager
    def optional(self) -> Iterator[None]:
        """Ends the stages inside quietly where their share is spent: less of them is no early stop.

        Where the budget of the whole run is spent, `stopped_by` still says so.
        """
        before = self.stopped_by
        with suppress(BudgetSpent):
            yield
        if not self.run_spent:
            self.stopped_by = before

    def book(
        self,
        *,
        stage: str | None = None,
        calls: int = 0,
        tokens_in: int = 0,
        tokens_out: int = 0,
        train_tokens: int = 0,
        money: float = 0.0,
    ) -> None:
        """Book work just done, with the time since the last booking.

        `stage` names another stage than the one under way. Its time still counts to the share of
        the stage under way, which asked for it.
        """
        self._book(
            self._stage.model_copy(
                update={
                    "stage": stage or self._stage.stage,
                    "calls": calls,
                    "tokens_in": tokens_in,
                    "tokens_out": tokens_out,
                    "train_tokens": train_tokens,
                    "money": money,
                }
            )
        )

    @property
    def seconds(self) -> float:
        """Working time of all sittings so far."""
        return self._total.seconds

    @property
    def left(self) -> Spent:
        """The seconds, calls and money that the budget still allows."""
        return Spent(
            stage="left",
            seconds=max(0.0, self._budget.seconds - self.seconds),
            calls=self.calls_left,
            money=max(0.0, self.money_left),
        )

    @property
    def calls_left(self) -> int:
        """Calls that the budget still allows."""
        return max(0, self._budget.calls - self._total.calls)

    @property
    def money_left(self) -> float:
        """Money that the budget still allows."""
        return self._budget.money - self._total.money

    def check(self) -> None:
        """Raise `BudgetSpent` if nothing more may be used."""
        spent = self._over()
        if spent is not None:
            self.stopped_by = self.stopped_by or spent
            raise BudgetSpent(spent)

    def _book(self, used: Spent) -> None:
        now = time.monotonic()
        used = used.model_copy(update={"seconds": now - self._since})
        self._since = now
        self._total += used
        self._stage_seconds += used.seconds
        self._run.spend(used)
        self._progress.advance(used)

    @property
    def run_spent(self) -> bool:
        """Whether the budget of the whole run is spent, and not just the share of a stage."""
        return self._run_over() is not None

    def _over(self) -> str | None:
        if over := self._run_over():
            return over
        if self._stage_limit is not None and self._stage_seconds >= self._stage_limit:
            return f"{self._stage.stage}: its share of {self._stage_limit / 60:.1f} minutes"
        if self._until is not None and self._total.seconds >= self._until:
            return f"{self._stage.stage}: what is left is kept for other stages"
        return None

    def _run_over(self) -> str | None:
        budget, used = self._budget, self._total
        if used.seconds >= budget.seconds:
            return f"{budget.minutes:g} minutes"
        if used.calls >= budget.calls:
            return f"{budget.calls} calls"
        # A budget of 0 means that no call may cost anything, which local models never do.
        if used.money > budget.money:
            return f"{budget.money:g} of money"
        return None
