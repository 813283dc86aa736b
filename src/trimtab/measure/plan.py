"""What a decision will do and cost, worked out before it starts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from trimtab.engine.base import Engine
from trimtab.measure.calibrate import Rates
from trimtab.measure.consistency import (
    CONSISTENCY,
    CONSISTENCY_SHARE,
    calls_for,
    sizes,
)
from trimtab.measure.meter import JUDGING
from trimtab.measure.sizes import train_sizes
from trimtab.prompt.ask import REASONING_TOKENS
from trimtab.prompt.search import LAST_SHARE, PromptSearch, Shape
from trimtab.prompt.styles import STYLES
from trimtab.prompt.variants import tuned_prompt
from trimtab.prompt.wording import system_text
from trimtab.task.spec import Task
from trimtab.task.split import Split
from trimtab.types import Arm, Example, Message, Noun, Spent

CALIBRATION = "calibration"
PROMPTS = "prompt search"
TRAINING = "fine-tuning"
CONFIRMATION = "sealed test"
LATENCY = "latency"
LAYOUTS = "prompt layouts"

FEWEST_TIMED, MOST_TIMED = 15, 60
"""Timed calls of each finalist: enough to put their times down to tokens, and enough for a bound on
their 95th percentile without that (59)."""
TIMED_SHARE = 0.05
"""Share of the budget that timed calls beyond the fewest may take."""
LAYOUT_SHARE = 0.04
"""Share of the budget that other layouts of the best prompt may take."""
FEWEST_LAYOUT_ROWS, MOST_LAYOUT_ROWS = 10, 100
"""Dev rows that each layout is tried on; with fewer, only luck would show."""
_SAMPLE = 64
_MOST_RESERVED = 0.5
_ANSWER_SLACK = 1.1
_WRONG_ANSWERS_RUN_ON = 1.25
"""Answers that go wrong tend to run to the limit, so the mean answer is longer than the target."""


class Plan(Noun):
    """Fixed before results exist, and kept in the run: a resumed run follows the same plan."""

    models: tuple[str, ...]
    """Ids of the prompted and, where there is one, the tuned model."""
    rates: dict[Arm, Rates]
    """Of the model of each arm that can run."""
    max_tokens: int
    """Limit of an answer: a little above the longest target."""
    train_sizes: tuple[int, ...]
    """Empty where no fine-tune fits; `no_tuning` says why."""
    no_tuning: str | None
    arm_seconds: float
    """Ceiling of each arm: half of what calibration and confirmation leave of the budget."""
    timed_calls: int
    """Calls of each finalist that are timed alone, one after the other."""
    stages: tuple[Spent, ...]
    search: tuple[str, ...] = ()
    """What the prompt search will try, in order, a line each."""


class Lengths(Noun):
    """Mean token counts of this task's rows under this model's tokenizer."""

    system: float
    short_system: float
    input: float
    target: float
    longest_target: int
    turn: float
    """Template tokens around one user and one assistant turn."""

    @property
    def demonstration(self) -> float:
        return self.turn + self.input + self.target


def measure_lengths(task: Task, engine: Engine, rows: Sequence[Example]) -> Lengths:
    """Count `engine`'s tokens on a sample of rows, and of every target."""

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
        longest_target=_longest_target(engine, rows),
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
    lengths: Mapping[Arm, Lengths],
    rates: Mapping[Arm, Rates],
    search: PromptSearch,
    models: tuple[str, ...],
    spent_seconds: float = 0.0,
    retention: Sequence[Spent] = (),
    judging: Spent | None = None,
) -> Plan:
    """Work out every stage; training sizes are the largest that the arm's share allows.

    `lengths` and `rates` are of each arm's own model, `spent_seconds` what calibration took,
    `retention` the stages that look at what a fine-tune loses elsewhere, `judging` what a judge
    model takes for one answer.
    """
    left = max(0.0, task.budget.seconds - spent_seconds)
    estimate = _Estimate(task, lengths, rates, left, judging.seconds if judging else 0.0)
    shapes = search.shapes()
    dev, test = len(split.dev), len(split.test)
    dearest = search.dearest()
    arms: Sequence[Arm] = ("prompt", "fine-tune") if "fine-tune" in rates else ("prompt",)
    layouts = estimate.layouts(dearest, dev)
    confirmed = estimate.confirmation(dearest, test, tuned="fine-tune" in rates)
    after = [*retention, *confirmed, layouts, *estimate.consistency(dearest, dev, arms)]
    if judging is not None:
        after.append(_judging(judging, after, test if "fine-tune" in rates else 0))
    # A calibration at a bad moment must not leave the arms without time.
    reserve = min(sum(stage.seconds for stage in after), left * _MOST_RESERVED)
    arm_seconds = (left - reserve) / 2
    arm_money = max(0.0, task.budget.money - sum(stage.money for stage in after)) / 2
    share = Spent(stage=TRAINING, seconds=arm_seconds, money=arm_money)
    trained: tuple[int, ...] = ()
    no_tuning: str | None = "the task names no model that can be tuned here"
    if estimate.can_train:

        def cost(sizes: Sequence[int], sweep: bool) -> Spent:
            needed = estimate.training(sizes, dev, sweep=sweep)
            return needed if judging is None else needed + _judging(judging, [needed], 0)

        trained, no_tuning = train_sizes(task, len(split.train), cost, share)
    stages = [_whole_search(estimate.calls(PROMPTS, "prompt", shapes, dev), arm_seconds)]
    if trained:
        stages += [estimate.training(trained, dev), *retention]
    else:
        arms = ("prompt",)
    stages += estimate.confirmation(dearest, test, tuned=bool(trained))
    stages += [layouts, *estimate.consistency(dearest, dev, arms)]
    if judging is not None:
        stages.append(_judging(judging, stages, test if trained else 0))
    return Plan(
        models=models,
        rates=dict(rates),
        max_tokens=max_answer(lengths.values()),
        train_sizes=trained,
        no_tuning=no_tuning,
        arm_seconds=arm_seconds,
        timed_calls=int(estimate.timed_calls(dearest, test, tuned=bool(trained))),
        stages=tuple(stages),
        search=search.outline(),
    )


def _judging(one: Spent, stages: Iterable[Spent], pairs: int) -> Spent:
    """The judge's calls on all answers, and on `pairs` of the finalists' test answers, each taken
    to be as dear as one answer. The time that answers take is in the stages that ask for it."""
    judged = {PROMPTS, TRAINING, CONFIRMATION, LAYOUTS, CONSISTENCY}
    answers = pairs + sum(stage.calls for stage in stages if stage.stage in judged)
    return Spent(
        stage=JUDGING,
        calls=one.calls * answers,
        tokens_in=one.tokens_in * answers,
        tokens_out=one.tokens_out * answers,
        seconds=one.seconds * pairs,
        money=one.money * answers,
    )


def _whole_search(stages: Spent, arm_seconds: float) -> Spent:
    """The hand-made stages and what may follow them: a search whose last LAST_SHARE brings nothing
    ends, so it takes at most so many times as long; and never more than the arm's share."""
    times = 1 / (1 - LAST_SHARE)
    if stages.seconds > 0:
        times = min(times, arm_seconds / stages.seconds)
    return Spent(
        stage=stages.stage,
        arm=stages.arm,
        calls=round(stages.calls * times),
        tokens_in=round(stages.tokens_in * times),
        tokens_out=round(stages.tokens_out * times),
        seconds=stages.seconds * times,
        money=stages.money * times,
    )


def max_answer(lengths: Iterable[Lengths]) -> int:
    """The limit of an answer in tokens, which leaves every model room for every target."""
    return math.ceil(max(each.longest_target for each in lengths) * _ANSWER_SLACK) + 4


class _Estimate:
    """Seconds, tokens and money of a stage, from lengths and rates."""

    def __init__(
        self,
        task: Task,
        lengths: Mapping[Arm, Lengths],
        rates: Mapping[Arm, Rates],
        left_seconds: float,
        judging_seconds: float,
    ) -> None:
        self._task = task
        self._lengths = lengths
        self._rates = rates
        self._left_seconds = left_seconds
        self._judging_seconds = judging_seconds
        longest = max_answer(lengths.values())
        self._out = {
            arm: min(each.target * _WRONG_ANSWERS_RUN_ON, longest) + 1
            for arm, each in lengths.items()
        }

    @property
    def can_train(self) -> bool:
        return "fine-tune" in self._rates

    def row_seconds(self, shape: Shape) -> float:
        """Every round reads the prompt anew, and all but the last write thoughts."""
        thoughts = (shape.rounds - 1) * REASONING_TOKENS / self._rates["prompt"].decode
        return self._seconds("prompt", shape.rounds * self._row_tokens(shape)) + thoughts

    def calls(self, stage: str, arm: Arm, shapes: Sequence[Shape], rows: int) -> Spent:
        """Each shape over `rows` rows, its shared prompt computed once."""
        prefill = self._rates["prompt"].prefill
        shared = [self._shared_tokens(shape) for shape in shapes]
        seconds = sum(rows * self.row_seconds(s) for s in shapes) + sum(shared) / prefill
        read = [self._row_tokens(s) + self._shared_tokens(s) for s in shapes]
        calls = rows * sum(shape.rounds for shape in shapes)
        tokens_in = rows * sum(s.rounds * tokens for s, tokens in zip(shapes, read, strict=True))
        return self._spent(stage, arm, calls, tokens_in, seconds)

    def layouts(self, prompt: Shape, dev: int) -> Spent:
        """The prompt in its other layouts. Not rounded to whole ones, as with `timed_calls`."""
        one = self.calls(LAYOUTS, "prompt", [prompt], 1)
        most = (len(STYLES) - 1) * min(dev, MOST_LAYOUT_ROWS)
        calls = min(most, LAYOUT_SHARE * self._left_seconds / max(one.seconds, 1e-9))
        return self._spent(
            LAYOUTS, "prompt", int(calls), int(calls) * one.tokens_in, calls * one.seconds
        )

    def tuned_calls(self, stage: str, rows: int) -> Spent:
        seconds = rows * self._seconds("fine-tune", self._tuned_tokens)
        return self._spent(stage, "fine-tune", rows, rows * self._tuned_tokens, seconds)

    def confirmation(self, prompt: Shape, test: int, *, tuned: bool) -> list[Spent]:
        """Sealed test and latency of the prompt of this shape and of the fine-tune."""
        stages = [self.calls(CONFIRMATION, "prompt", [prompt], test)]
        if tuned:
            stages.append(self.tuned_calls(CONFIRMATION, test))
        stages.append(self._timed(prompt, test, tuned=tuned))
        return stages

    def consistency(self, prompt: Shape, dev: int, arms: Sequence[Arm]) -> list[Spent]:
        """The finalists of `arms` asked again, as far as time is set aside for it; what the run
        leaves at its end may make it more. Not rounded to a size, as with `timed_calls`."""
        one = [
            self.calls(CONSISTENCY, arm, [prompt], 1)
            if arm == "prompt"
            else self.tuned_calls(CONSISTENCY, 1)
            for arm in arms
        ]
        fewest, most = (calls_for(sizes(dev)[end]) for end in (0, -1))
        turn = sum(stage.seconds for stage in one)
        affordable = CONSISTENCY_SHARE * self._left_seconds / max(turn, 1e-9)
        calls = min(max(affordable, fewest), most)
        whole = int(calls)
        return [
            self._spent(CONSISTENCY, arm, whole, whole * each.tokens_in, calls * each.seconds)
            for arm, each in zip(arms, one, strict=True)
        ]

    def timed_calls(self, prompt: Shape, test: int, *, tuned: bool) -> float:
        """How many calls of each finalist can be timed. Not rounded, so that the time reserved for
        them grows with the budget without a jump, and more budget leaves the arms no less."""
        affordable = TIMED_SHARE * self._left_seconds / self._turn_seconds(prompt, tuned=tuned)
        return min(max(affordable, FEWEST_TIMED), MOST_TIMED, test)

    def training(self, sizes: Sequence[int], dev: int, *, sweep: bool = True) -> Spent:
        """The rate sweep on the smallest size, then every size, each in all its epochs, with dev
        after each. An endpoint is given no rates to sweep, and trains in its own time."""
        search, lengths = self._task.search, self._lengths["fine-tune"]
        rates, tune = self._rates["fine-tune"], self._task.models.tune
        sweep = sweep and rates.train is not None
        swept = len(search.learning_rates) - 1 if sweep else 0
        row = self._tuned_tokens + lengths.target
        tokens = (sum(sizes) + sizes[0] * swept) * search.epochs * row
        checks = self.tuned_calls(TRAINING, dev * search.epochs * len(sizes))
        if rates.train is None:
            money = tune.prices.of_training(tokens) if tune and tune.prices else 0.0
            return checks + Spent(stage=TRAINING, train_tokens=round(tokens), money=money)
        losses = dev * row / rates.prefill * search.epochs * (len(sizes) + swept)
        seconds = tokens / rates.train + losses
        return checks + Spent(stage=TRAINING, train_tokens=round(tokens), seconds=seconds)

    def _timed(self, prompt: Shape, test: int, *, tuned: bool) -> Spent:
        calls = self.timed_calls(prompt, test, tuned=tuned)
        tokens = self._row_tokens(prompt) + self._shared_tokens(prompt)
        timed = self._spent(LATENCY, "prompt", int(calls), int(calls) * tokens, 0.0)
        if tuned:
            timed += self._spent(
                LATENCY, "fine-tune", int(calls), int(calls) * self._tuned_tokens, 0.0
            )
        seconds = calls * self._turn_seconds(prompt, tuned=tuned)
        return timed.model_copy(update={"arm": None, "seconds": seconds})

    def _turn_seconds(self, prompt: Shape, *, tuned: bool) -> float:
        """One call of each finalist alone."""
        seconds = self._seconds("prompt", self._row_tokens(prompt), alone=True)
        if tuned:
            seconds += self._seconds("fine-tune", self._tuned_tokens, alone=True)
        return seconds

    def _seconds(self, arm: Arm, tokens: float, *, alone: bool = False) -> float:
        """A call that reads `tokens` anew, in a batch, where its answer is judged too, or alone.
        Alone, a written token takes some eight times its share of a batch: the weights are read
        for one row instead of many."""
        rates = self._rates[arm]
        written = self._out[arm] / rates.decode
        more = 7 * written if alone else self._judging_seconds
        return tokens / rates.prefill + written + more

    def _row_tokens(self, shape: Shape) -> float:
        """Prompt tokens that each call must compute for itself."""
        lengths = self._lengths["prompt"]
        return lengths.input + lengths.turn + shape.nearest * lengths.demonstration

    def _shared_tokens(self, shape: Shape) -> float:
        lengths = self._lengths["prompt"]
        return lengths.system + shape.fixed * lengths.demonstration

    @property
    def _tuned_tokens(self) -> float:
        lengths = self._lengths["fine-tune"]
        return lengths.short_system + lengths.turn + lengths.input

    def _spent(self, stage: str, arm: Arm, calls: int, tokens_in: float, seconds: float) -> Spent:
        models = self._task.models
        prices = (models.prompt if arm == "prompt" else models.tune or models.prompt).prices
        tokens_out = calls * self._out[arm]
        return Spent(
            stage=stage,
            arm=arm,
            calls=calls,
            tokens_in=round(tokens_in),
            tokens_out=round(tokens_out),
            seconds=seconds,
            money=prices.of(tokens_in, 0.0, tokens_out) if prices else 0.0,
        )
