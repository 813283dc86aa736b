"""What a decision will do and cost, worked out before it starts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trimtab.engine.base import Engine
from trimtab.measure.calibrate import Rates
from trimtab.prompt.search import PromptSearch, Shape
from trimtab.prompt.variants import tuned_prompt
from trimtab.prompt.wording import system_text
from trimtab.task.spec import ModelSpec, Task
from trimtab.task.split import Split
from trimtab.types import Arm, Example, Message, Noun, Spent

CALIBRATION = "calibration"
PROMPTS = "prompt search"
TRAINING = "fine-tuning"
CONFIRMATION = "sealed test"
LATENCY = "latency"
AGREEMENT = "agreement"

TIMED_CALLS = 15
SAMPLED_ROWS = 16
SAMPLED_REPEATS = 3
SMALLEST_TRAINING = 32
SIZE_RATIO = 2.5
_SAMPLE = 64
_MOST_RESERVED = 0.5
_ANSWER_SLACK = 1.1
_WRONG_ANSWERS_RUN_ON = 1.25
"""Answers that go wrong tend to run to the limit, so the mean answer is longer than the target."""


class Plan(Noun):
    """Fixed before results exist, and kept in the run: a resumed run follows the same plan."""

    models: tuple[str, ...]
    """Ids of the prompted and, where there is one, the tuned model."""
    rates: Rates
    max_tokens: int
    """Limit of an answer: a little above the longest target."""
    train_sizes: tuple[int, ...]
    """Empty where no fine-tune fits; `no_tuning` says why."""
    no_tuning: str | None
    arm_seconds: float
    """Ceiling of each arm: equal shares of what confirmation leaves of the budget."""
    stages: tuple[Spent, ...]


class Lengths(Noun):
    """Mean token counts of this task's rows under this model's tokenizer."""

    system: float
    short_system: float
    input: float
    target: float
    longest_target: int
    """In the tokens of the engine that counts the most: the limit holds for all."""
    turn: float
    """Template tokens around one user and one assistant turn."""

    @property
    def demonstration(self) -> float:
        return self.turn + self.input + self.target


def measure_lengths(
    task: Task, engine: Engine, rows: Sequence[Example], others: Sequence[Engine] = ()
) -> Lengths:
    """Count `engine`'s tokens on a sample of rows, and all engines' of every target."""

    def count(system: str, *turns: str) -> int:
        roles = ("user", "assistant")
        messages = [Message(role="system", content=system)]
        messages += [Message(role=roles[i % 2], content=t) for i, t in enumerate(turns)]
        return engine.count_tokens(messages)

    empty = count("", "")
    sample = rows[:_SAMPLE]
    targets = [count("", row.target) - empty for row in rows]
    return Lengths(
        system=count(system_text(task), "") - empty,
        short_system=count(tuned_prompt(task).system, "") - empty,
        input=sum(count("", row.input) - empty for row in sample) / len(sample),
        target=sum(targets) / len(targets),
        longest_target=max(_longest_target(each, rows) for each in (engine, *others)),
        turn=count("", "", "", "") - count("", ""),
    )


def _longest_target(engine: Engine, rows: Sequence[Example]) -> int:
    """In the engine's tokens; where it only estimates them, one for every two characters."""
    if not engine.exact_tokens:
        return max(len(row.target) for row in rows) // 2
    user = Message(role="user", content="")
    empty = engine.count_tokens((user, Message(role="assistant", content="")))
    return max(
        engine.count_tokens((user, Message(role="assistant", content=row.target))) - empty
        for row in rows
    )


def make_plan(
    task: Task,
    split: Split,
    lengths: Lengths,
    rates: Rates,
    search: PromptSearch,
    models: tuple[str, ...],
) -> Plan:
    """Work out every stage; training sizes are the largest that the arm's share allows."""
    estimate = _Estimate(task, lengths, rates)
    shapes = search.shapes()
    dev, test = len(split.dev), len(split.test)
    dearest = max(shapes, key=estimate.row_seconds)
    after = estimate.confirmation(dearest, test, tuned=rates.train is not None)
    budget = task.budget.minutes * 60
    # A calibration at a bad moment must not leave the arms without time.
    reserve = min(sum(stage.seconds for stage in after), budget * _MOST_RESERVED)
    arm_seconds = (budget - reserve) / 2
    sizes, no_tuning = _train_sizes(task, len(split.train), dev, estimate, arm_seconds)
    stages = [estimate.calls(PROMPTS, "prompt", shapes, dev)]
    if sizes:
        stages.append(estimate.training(sizes, dev))
    stages += estimate.confirmation(dearest, test, tuned=bool(sizes))
    return Plan(
        models=models,
        rates=rates,
        max_tokens=max_answer(lengths),
        train_sizes=sizes,
        no_tuning=no_tuning,
        arm_seconds=arm_seconds,
        stages=tuple(stages),
    )


def max_answer(lengths: Lengths) -> int:
    return math.ceil(lengths.longest_target * _ANSWER_SLACK) + 4


def _train_sizes(
    task: Task,
    available: int,
    dev: int,
    estimate: _Estimate,
    arm_seconds: float,
) -> tuple[tuple[int, ...], str | None]:
    """Nested sizes, and why there are none."""
    if estimate.rates.train is None:
        return (), "the task names no model that can be tuned here"
    if available < SMALLEST_TRAINING:
        return (), f"{available} rows are too few to train on; {SMALLEST_TRAINING} are needed"
    if task.search.train_sizes:
        return tuple(sorted({min(size, available) for size in task.search.train_sizes})), None
    top = available
    while top >= SMALLEST_TRAINING:
        sizes = _geometric(top)
        if estimate.training(sizes, dev).seconds <= arm_seconds:
            return sizes, None
        top = math.floor(top * 0.95)
    return (), (
        f"the fine-tune arm's share of the budget, {arm_seconds / 60:.1f} minutes, is too short "
        f"to train on {SMALLEST_TRAINING} rows; raise budget.minutes"
    )


def _geometric(top: int) -> tuple[int, ...]:
    """Three sizes where `top` allows, each 2.5 times the one before."""
    sizes = [round(top / SIZE_RATIO**power) for power in (2, 1, 0)]
    return tuple(size for size in sizes if size >= min(top, SMALLEST_TRAINING))


class _Estimate:
    """Seconds, tokens and money of a stage, from lengths and rates."""

    def __init__(self, task: Task, lengths: Lengths, rates: Rates) -> None:
        self._task = task
        self._lengths = lengths
        self.rates = rates
        self._out = min(lengths.target * _WRONG_ANSWERS_RUN_ON, max_answer(lengths)) + 1

    def row_tokens(self, shape: Shape) -> float:
        """Prompt tokens that each call must compute for itself."""
        lengths = self._lengths
        return lengths.input + lengths.turn + shape.nearest * lengths.demonstration

    def shared_tokens(self, shape: Shape) -> float:
        return self._lengths.system + shape.fixed * self._lengths.demonstration

    def row_seconds(self, shape: Shape) -> float:
        return self.row_tokens(shape) / self.rates.prefill + self._out / self.rates.decode

    def calls(self, stage: str, arm: Arm, shapes: Sequence[Shape], rows: int) -> Spent:
        """Each shape over `rows` rows, its shared prompt computed once."""
        seconds = sum(
            rows * self.row_seconds(s) + self.shared_tokens(s) / self.rates.prefill for s in shapes
        )
        tokens_in = sum(rows * (self.row_tokens(s) + self.shared_tokens(s)) for s in shapes)
        return self._spent(
            stage, arm, self._task.models.prompt, rows * len(shapes), tokens_in, seconds
        )

    def tuned_calls(self, stage: str, rows: int) -> Spent:
        per_row = self._lengths.short_system + self._lengths.turn + self._lengths.input
        seconds = rows * (per_row / self.rates.prefill + self._out / self.rates.decode)
        spec = self._task.models.tune or self._task.models.prompt
        return self._spent(stage, "fine-tune", spec, rows, rows * per_row, seconds)

    def confirmation(self, prompt: Shape, test: int, *, tuned: bool) -> list[Spent]:
        """Sealed test, latency and agreement of the prompt of this shape and of the fine-tune."""
        samples = SAMPLED_ROWS * SAMPLED_REPEATS
        stages = [self.calls(CONFIRMATION, "prompt", [prompt], test)]
        if tuned:
            stages.append(self.tuned_calls(CONFIRMATION, test))
        stages.append(self._timed([prompt, Shape(0, 0, False)] if tuned else [prompt]))
        stages.append(self.calls(AGREEMENT, "prompt", [prompt], samples))
        if tuned:
            stages.append(self.tuned_calls(AGREEMENT, samples))
        return stages

    def _timed(self, shapes: Sequence[Shape]) -> Spent:
        """Calls one at a time. Alone, a token takes some eight times its share of a batch: the
        weights are read for one row instead of many."""
        row_seconds = [
            self.row_tokens(shape) / self.rates.prefill + 8 * self._out / self.rates.decode
            for shape in shapes
        ]
        tokens = sum(self.row_tokens(shape) + self.shared_tokens(shape) for shape in shapes)
        return self._spent(
            LATENCY,
            None,
            self._task.models.prompt,
            TIMED_CALLS * len(shapes),
            TIMED_CALLS * tokens,
            TIMED_CALLS * sum(row_seconds),
        )

    def training(self, sizes: Sequence[int], dev: int) -> Spent:
        """The rate sweep on the smallest size, then every size, with dev after each epoch."""
        search = self._task.search
        rows = sum(sizes) + sizes[0] * (len(search.learning_rates) - 1)
        lengths = self._lengths
        row = lengths.short_system + lengths.turn + lengths.input + lengths.target
        tokens = rows * search.epochs * row
        assert self.rates.train is not None
        checks = self.tuned_calls(TRAINING, dev * search.epochs * len(sizes))
        losses = (
            dev
            * row
            / self.rates.prefill
            * search.epochs
            * (len(sizes) + len(search.learning_rates) - 1)
        )
        return checks.model_copy(
            update={
                "train_tokens": round(tokens),
                "seconds": checks.seconds + tokens / self.rates.train + losses,
            }
        )

    def _spent(
        self,
        stage: str,
        arm: Arm | None,
        spec: ModelSpec,
        calls: int,
        tokens_in: float,
        seconds: float,
    ) -> Spent:
        tokens_out = calls * self._out
        prices = spec.prices
        money = (tokens_in * prices.input + tokens_out * prices.output) / 1e6 if prices else 0.0
        return Spent(
            stage=stage,
            arm=arm,
            calls=calls,
            tokens_in=round(tokens_in),
            tokens_out=round(tokens_out),
            seconds=seconds,
            money=money,
        )
