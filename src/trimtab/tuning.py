"""The fine-tune arm where this machine trains: nested sizes, then the best of them once more under
the instructions that the prompt search found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from trimtab.measure.plan import TRAINING
from trimtab.measure.session import Session
from trimtab.prompt.variants import searched_prompt, tuned_prompt
from trimtab.types import CurvePoint, Prompt, Variant, VariantScore

if TYPE_CHECKING:
    from trimtab.tune.arm import TuneArm
    from trimtab.tune.rows import TrainingRow
    from trimtab.tune.trained import Trained

_SLACK = 1.25
"""Times its estimate that must be left before one more training begins."""
_READINGS = 2
"""What training on a token takes, in readings of it: forward, and backward for the activations
alone, since the weights are frozen."""

Evaluate = Callable[[Variant], VariantScore]
"""Scores a variant on dev."""


@dataclass(frozen=True)
class Tuned:
    """What the arm trained: runs of the sweep, and the sizes, smallest first."""

    sweep: Sequence[CurvePoint]
    trained: Sequence[Trained]


def tune(session: Session, evaluate: Evaluate) -> Tuned:
    """Sweep the learning rate and train the planned sizes.

    To be called, as the other function here, within the stage that the time is booked to.
    """
    split = session.opened.split
    return Tuned(*_arm(session, evaluate).run(split.train, split.dev, session.plan.train_sizes))


def tune_searched(
    session: Session, best: Variant, prompt: Variant, found: Tuned, evaluate: Evaluate
) -> Trained | None:
    """The size of `best`, the best fine-tune, trained under the instructions of `prompt`, the best
    prompt. None where the search found no others than the task's own, where what training left of
    the arm's share does not pay for it, or where the budget ended before it had a score.
    """
    wanted = searched_prompt(session.opened.task, prompt)
    rows = [each.point.rows for each in found.trained]
    if wanted is None or best.adapter is None or best.adapter.rows not in rows:
        return None
    at = rows.index(best.adapter.rows)
    size, before = found.trained[at], found.trained[at - 1] if at else None
    if not _begun(session) and not _affordable(session, size.point, wanted):
        session.note("no fine-tune under the searched instructions: the arm's share is too small")
        return None
    split = session.opened.split
    with session.meter.optional():
        return _arm(session, evaluate).under(wanted, size, before, split.train, split.dev)
    return None


def _arm(session: Session, evaluate: Evaluate) -> TuneArm:
    from trimtab.tune.arm import TuneArm

    def on_tokens(tokens: int) -> None:
        session.meter.book(train_tokens=tokens)
        session.meter.check()

    assert session.tuner is not None
    return TuneArm(
        engine=session.tuner,
        task=session.opened.task,
        folder=session.run.adapters_path,
        max_tokens=session.plan.max_tokens,
        evaluate=evaluate,
        on_tokens=on_tokens,
    )


def _begun(session: Session) -> bool:
    """Whether an earlier sitting found that it fits."""
    from trimtab.tune.arm import SEARCHED

    return any(session.run.adapters_path.glob(f"{SEARCHED}-*"))


def _affordable(session: Session, point: CurvePoint, prompt: Prompt) -> bool:
    """Whether the size of `point` fits once more, with what the longer prompt adds to it."""
    from trimtab.tune.rows import encode

    assert session.tuner is not None
    opened, template = session.opened, session.tuner.template
    task, dev, rates = opened.task, opened.split.dev, session.plan.rates["fine-tune"]
    rows = opened.split.train[: point.rows]
    short, long = (encode(template, each, rows) for each in (tuned_prompt(task), prompt))
    added = _READINGS * (_stream(session, long) - _stream(session, short)) / rates.prefill
    read = 2 * sum(map(len, encode(template, prompt, dev))) / rates.prefill  # loss, then answers
    written = len(dev) * session.plan.max_tokens / rates.decode
    epoch = point.seconds / point.epochs + added + read + written
    used = sum(spent.seconds for spent in session.run.spent() if spent.stage == TRAINING)
    return _SLACK * task.search.epochs * epoch <= session.plan.arm_seconds - used


def _stream(session: Session, rows: Sequence[TrainingRow]) -> int:
    """Tokens that an epoch computes: what the rows of a pass begin with counts once."""
    from trimtab.tune.packing import stream_tokens
    from trimtab.tune.rows import PASS_TOKENS, batches, passes

    search, seed = session.opened.task.search, session.opened.task.seed
    return sum(
        stream_tokens(part)
        for batch in batches(rows, search.batch_size, seed, 1)
        for part in passes(batch, PASS_TOKENS)
    )
