"""The fine-tune arm where an endpoint trains: one job a training size, each from the base model.

The endpoint chooses the learning rate and the size of batches. Jobs of all sizes may run at once;
the time that they take is waited for, and counts.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.engine.base import Engine
from trimtab.errors import BudgetSpent
from trimtab.prompt.render import render_with_target
from trimtab.prompt.variants import tuned, tuned_prompt
from trimtab.store.files import append, read_nouns, sha256_of, write_atomic
from trimtab.task.spec import Task
from trimtab.tune.hosted.client import FineTuningClient
from trimtab.tune.hosted.jobs import Jobs, Wanted
from trimtab.tune.hosted.wire import Checkpoint, Job, training_file
from trimtab.tune.trained import Trained
from trimtab.types import (
    HOSTED_FILE,
    Adapter,
    CurvePoint,
    Example,
    HostedJob,
    HostedModel,
    Interval,
    Variant,
    VariantScore,
)

JOBS_FILE = "jobs.json"

_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
_WAIT_SHARE = 0.1
"""Of what was waited so far: the budget is overdrawn by no more, and few questions are asked."""
_SUFFIX = 18
"""Characters of a model's suffix that every endpoint takes."""


@dataclass(frozen=True)
class Candidate:
    """A model that a job left: its final one, or a checkpoint on the way."""

    name: str
    """Under which the endpoint serves it."""
    step: int | None
    epoch: int
    dev_loss: float | None


@dataclass(frozen=True)
class HostedArm:
    """What the arm needs: `evaluate` scores a variant on dev, `on_trained` hears the tokens of all
    jobs that have ended, `money_left` tells what may still be spent. `on_wait` is called before
    anything is waited for or asked for, and raises `BudgetSpent` when the arm's share is used up.
    """

    client: FineTuningClient
    engine: Engine
    task: Task
    folder: Path
    """The run's adapter folder."""
    max_tokens: int
    evaluate: Callable[[Variant], VariantScore]
    on_wait: Callable[[], None]
    on_trained: Callable[[int], None]
    money_left: Callable[[], float]
    note: Callable[[str], None]
    sleep: Callable[[float], None] = time.sleep

    def run(
        self, train_rows: Sequence[Example], dev: Sequence[Example], sizes: Sequence[int]
    ) -> tuple[list[Trained], tuple[HostedJob, ...]]:
        """Train every size, wait for the jobs, and score what they leave.

        `train_rows` are in nesting order: a size is a prefix of them. Jobs that the run has made
        already are not made again. A spent budget stops those that are still under way.

        Returns the trained sizes, smallest first, and what became of every job.
        """
        jobs = self._jobs(train_rows, dev, sizes)
        finished = {trained.point.rows: trained for trained in read_nouns(self._log, Trained)}
        try:
            for trained in finished.values():
                # Scored before, so without a call; the caller hears of them in each sitting.
                for variant in trained.tried:
                    self.evaluate(variant)
            self._finish(jobs, finished)
        except BudgetSpent as spent:
            jobs.cancel_all(f"the budget was spent first ({spent.what})")
        self._settle(jobs)
        return [finished[size] for size in sizes if size in finished], jobs.all

    @property
    def _log(self) -> Path:
        return self.folder / "trained.jsonl"

    def _jobs(
        self, train_rows: Sequence[Example], dev: Sequence[Example], sizes: Sequence[int]
    ) -> Jobs:
        prompt, search = tuned_prompt(self.task), self.task.search
        counts = [
            self.engine.count_tokens(render_with_target(prompt, row, None))
            for row in train_rows[: max(sizes)]
        ]
        assert self.task.models.tune is not None
        wanted = Wanted(
            model=self.task.models.tune.model,
            epochs=search.epochs,
            seed=self.task.seed,
            suffix=re.sub(r"[^A-Za-z0-9-]", "-", self.task.name)[:_SUFFIX],
            validation=training_file(prompt, dev),
        )
        return Jobs(
            self.client,
            self.folder / JOBS_FILE,
            wanted,
            {size: training_file(prompt, train_rows[:size]) for size in sizes},
            {size: search.epochs * sum(counts[:size]) for size in sizes},
            self.sleep,
        )

    def _finish(self, jobs: Jobs, finished: dict[int, Trained]) -> None:
        """Make the jobs and wait until every one has ended; score each as it ends."""
        waited = 0.0
        while True:
            jobs.refresh()
            self._settle(jobs)
            for job in jobs.all:
                if job.status == "succeeded" and job.rows not in finished:
                    finished[job.rows] = self._score(jobs, job)
                    append(self._log, [finished[job.rows]])
            if not jobs.under_way and not jobs.to_make:
                return
            self.on_wait()
            for job in jobs.to_make:
                self._make(jobs, job)
            if jobs.under_way or jobs.to_make:
                pause = min(max(_WAIT_SHARE * waited, _SHORTEST_WAIT_S), _LONGEST_WAIT_S)
                self.sleep(pause)
                waited += pause

    def _make(self, jobs: Jobs, job: HostedJob) -> None:
        """Ask for a job if the budget can bear it beside those that are under way."""
        reserved = sum(self._price(other.estimated_tokens) for other in jobs.under_way)
        needed, left = self._price(job.estimated_tokens), self.money_left() - reserved
        if job.status == "not made" and needed > left:
            currency = self.task.currency
            jobs.give_up(
                job,
                f"it would cost about {needed:.2f} {currency}, and {max(left, 0):.2f} are left of "
                "budget.money",
            )
            return
        self.note(f"fine-tuning on {job.rows} rows at the endpoint")
        jobs.make(job)

    def _settle(self, jobs: Jobs) -> None:
        self.on_trained(sum(job.tokens for job in jobs.all))

    def _score(self, jobs: Jobs, job: HostedJob) -> Trained:
        """The point of a job that succeeded: its model with the best dev quality."""
        assert job.job is not None and job.seconds is not None
        told = self.client.retrieve(job.job)
        scored: list[tuple[tuple[bool, float], Candidate, Variant, Interval]] = []
        try:
            for candidate in candidates(told, self.client.checkpoints(told.id), self._epochs(told)):
                variant = self._variant(jobs, job, candidate)
                score = self.evaluate(variant)
                scored.append((score.rank, candidate, variant, score.quality))
        except BudgetSpent:
            if not scored:
                raise  # otherwise the models that were scored make the point
        _, best, variant, quality = max(scored, key=lambda each: each[0])
        point = CurvePoint(
            rows=job.rows,
            seed=self.task.seed,
            learning_rate=None,
            epoch=best.epoch,
            epochs=self._epochs(told),
            train_tokens=job.tokens,
            seconds=job.seconds,
            dev_loss=best.dev_loss,
            dev_quality=quality,
            variant=variant.id,
        )
        return Trained(point=point, variant=variant, tried=tuple(each for _, _, each, _ in scored))

    def _variant(self, jobs: Jobs, job: HostedJob, candidate: Candidate) -> Variant:
        """The variant of a model, with the file by which the engine finds it."""
        assert job.job is not None and self.task.models.tune is not None
        last = "final" if candidate.step is None else f"step-{candidate.step}"
        path = self.folder / f"{job.rows}-rows" / last / HOSTED_FILE
        hosted = HostedModel(
            model=candidate.name,
            base=self.task.models.tune.model,
            job=job.job,
            step=candidate.step,
            trained_tokens=job.trained_tokens,
            money=self._price(job.tokens) if self._has_price else None,
            training_sha256=jobs.training_sha256(job.rows),
        )
        write_atomic(path, hosted.model_dump_json(indent=2) + "\n")
        adapter = Adapter(
            path=str(path.parent.relative_to(self.folder.parent)),
            sha256=sha256_of(path),
            rows=job.rows,
            epoch=candidate.epoch,
            learning_rate=None,
            seed=self.task.seed,
        )
        return tuned(self.task, self.engine.model_id, adapter, self.max_tokens)

    def _epochs(self, told: Job) -> int:
        return told.epochs or self.task.search.epochs

    @property
    def _has_price(self) -> bool:
        spec = self.task.models.tune
        return bool(spec and spec.prices and spec.prices.training is not None)

    def _price(self, tokens: int) -> float:
        """Money for training; 0 where only a machine's hours are paid."""
        spec = self.task.models.tune
        return spec.prices.of_training(tokens) if spec and spec.prices else 0.0


def candidates(job: Job, checkpoints: Sequence[Checkpoint], epochs: int) -> list[Candidate]:
    """The models that a job left, in the order of their steps, the final one last.

    Checkpoints are taken to end with the job's last step, as OpenAI's do; an endpoint may name the
    final model as one of them.
    """
    assert job.fine_tuned_model is not None
    steps = max((each.step_number for each in checkpoints), default=0)
    on_the_way = [
        Candidate(
            name=each.fine_tuned_model_checkpoint,
            step=each.step_number,
            epoch=max(1, math.ceil(epochs * each.step_number / max(steps, 1))),
            dev_loss=each.dev_loss,
        )
        for each in checkpoints
        if each.step_number < steps and each.fine_tuned_model_checkpoint != job.fine_tuned_model
    ]
    losses = [each.dev_loss for each in checkpoints if each.step_number == steps]
    last = Candidate(job.fine_tuned_model, None, epochs, losses[-1] if losses else None)
    return [*on_the_way, last]
