"""A few seconds of real work on this machine, to know what the rest will take."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trimtab.engine.base import Engine
from trimtab.errors import EngineUnavailable
from trimtab.measure.bench import call_price
from trimtab.measure.meter import Meter
from trimtab.prompt.render import render
from trimtab.prompt.variants import tuned_prompt
from trimtab.prompt.wording import system_text
from trimtab.task.spec import ModelSpec, Task
from trimtab.types import Completion, Decoding, Example, Message, Noun, Prompt, Request

if TYPE_CHECKING:
    from trimtab.engine.local.engine import LocalEngine

_ROWS = 32
_ANSWER_TOKENS = 12
_TRAINING_ROWS = 24
_LONG_TOKENS = 4_000
"""Tokens of long prompts that are read: some seven seconds of the default model."""


class Rates(Noun):
    """Tokens per second in batches, on this machine or endpoint; None where not measured."""

    prefill: float
    decode: float
    train: float | None = None


def calibrate(
    task: Task, engine: Engine, spec: ModelSpec, rows: Sequence[Example], meter: Meter
) -> Rates:
    """Measure calls on up to 32 training `rows`, some ten seconds for the default model.

    What it uses is booked, but no budget ends it: without rates there would be no plan.
    """
    few = rows[:_ROWS]
    requests = [render(tuned_prompt(task), row.input, None) for row in few]

    def generate(messages: Sequence[tuple[Message, ...]], tokens: int) -> tuple[float, int, int]:
        return _generate(engine, spec, messages, tokens, meter)

    generate(requests[:2], 2)  # the first pass pays for memory and start-up
    short_seconds, tokens_in, short_out = generate(requests, 1)
    long_seconds, _, long_out = generate(requests, 1 + _ANSWER_TOKENS)
    more_seconds = long_seconds - short_seconds
    # Where noise hides the difference, the whole long pass gives a rate that is safely too low.
    decode = (long_out - short_out) / more_seconds if more_seconds > 0 else long_out / long_seconds
    return Rates(
        prefill=max(tokens_in, 1) / max(short_seconds, 1e-6),
        decode=max(decode, 1.0),
    )


def long_prefill(
    task: Task, engine: Engine, spec: ModelSpec, rows: Sequence[Example], shown: int, meter: Meter
) -> float:
    """Prompt tokens per second of a few prompts with `shown` other rows each: a token behind many
    others takes longer to read than one of a short prompt. Booked too."""
    messages: list[tuple[Message, ...]] = []
    tokens = 0
    for place, row in enumerate(rows[:_ROWS]):
        others = tuple(rows[(place + 1 + i) % len(rows)] for i in range(shown))
        prompt = Prompt(system=system_text(task), demonstrations=others)
        messages.append(render(prompt, row.input, None))
        tokens += engine.count_tokens(messages[-1])
        if tokens >= _LONG_TOKENS:
            break
    seconds, tokens_in, _ = _generate(engine, spec, messages, 1, meter)
    return max(tokens_in, 1) / max(seconds, 1e-6)


def _generate(
    engine: Engine,
    spec: ModelSpec,
    messages: Sequence[tuple[Message, ...]],
    max_tokens: int,
    meter: Meter,
) -> tuple[float, int, int]:
    """(seconds, tokens in, tokens out) of one batch."""
    requests = [Request(messages=m, decoding=Decoding(max_tokens=max_tokens)) for m in messages]
    started = time.monotonic()
    answers = [a for _, a in engine.generate(requests) if isinstance(a, Completion)]
    seconds = time.monotonic() - started
    if not answers:
        raise EngineUnavailable(
            f"none of the {len(requests)} first calls to {engine.model_id} was answered; "
            "look at the model in task.yaml and at its server"
        )
    tokens_in = sum(a.tokens_in - a.tokens_cached for a in answers)
    tokens_out = sum(a.tokens_out for a in answers)
    meter.book(
        calls=len(requests),
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        money=sum(call_price(spec, a) for a in answers),
    )
    return seconds, tokens_in, tokens_out


def training_rate(task: Task, tuner: LocalEngine, rows: Sequence[Example], meter: Meter) -> float:
    """Training tokens per second: one short epoch, whose adapter is thrown away. Booked too."""
    from trimtab.tune.lora import TrainSettings, train
    from trimtab.tune.rows import encode

    encoded = encode(tuner.template, tuned_prompt(task), rows[:_TRAINING_ROWS])
    settings = TrainSettings(
        learning_rate=1e-4,
        epochs=1,
        rank=task.search.rank,
        batch_size=task.search.batch_size,
        four_bit=task.search.four_bit,
    )
    folder = Path(tempfile.mkdtemp())
    try:
        steps: list[tuple[float, int]] = [(time.monotonic(), 0)]

        def on_tokens(tokens: int) -> None:
            steps.append((time.monotonic(), tokens))
            meter.book(train_tokens=tokens)

        for _ in train(tuner, encoded, encoded[:1], settings, folder / "calibration", on_tokens):
            pass
    finally:
        shutil.rmtree(folder)
    # The first step warms up; steps after it give the rate, where there are any.
    first = 1 if len(steps) > 2 else 0
    seconds = steps[-1][0] - steps[first][0]
    return sum(tokens for _, tokens in steps[first + 1 :]) / max(seconds, 1e-6)
