"""The fine-tune arm where an endpoint trains: its share of time and money, and why nothing came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trimtab.measure.plan import TRAINING
from trimtab.measure.session import Session
from trimtab.tune.hosted.arm import HostedArm
from trimtab.tune.trained import Trained
from trimtab.types import HostedJob, Variant, VariantScore

NO_RETENTION = (
    "the suite needs likelihoods, which an endpoint does not give; measure what matters with tests "
    "of your own"
)
"""Why what a hosted fine-tune loses elsewhere stays unknown."""


@dataclass(frozen=True)
class Hosted:
    """What the endpoint trained, and what became of every job."""

    trained: list[Trained]
    jobs: tuple[HostedJob, ...]

    @property
    def why_none(self) -> str | None:
        """Why no job gave a model that could be scored; None where one did."""
        if self.trained:
            return None
        told = (
            f"{job.rows} rows: {job.problem or 'the budget was spent before it could be scored'}"
            for job in self.jobs
        )
        return f"no fine-tuning job gave a model ({'; '.join(told)})"


def tune(session: Session, evaluate: Callable[[Variant], VariantScore]) -> Hosted:
    """Train the planned sizes at the endpoint; `evaluate` scores a variant on dev.

    To be called within the stage that the time is booked to.
    """
    assert session.host is not None
    meter, run = session.meter, session.run

    def on_wait() -> None:
        meter.book()
        meter.check()

    arm = HostedArm(
        client=session.host,
        engine=session.benches["fine-tune"].engine,
        task=session.opened.task,
        folder=run.adapters_path,
        max_tokens=session.plan.max_tokens,
        evaluate=evaluate,
        on_wait=on_wait,
        on_trained=lambda tokens: _book(session, tokens),
        money_left=lambda: meter.money_left,
        note=session.note,
    )
    split = session.opened.split
    trained, jobs = arm.run(split.train, split.dev, session.plan.train_sizes)
    return Hosted(trained, jobs)


def _book(session: Session, tokens: int) -> None:
    """Book what jobs have trained so far, less what any sitting booked already: a job is paid
    once, also where a kill came between its end and its booking."""
    booked = sum(
        spent.train_tokens for spent in session.run.spent() if spent.key == (TRAINING, "fine-tune")
    )
    spec = session.benches["fine-tune"].spec
    if (more := tokens - booked) > 0:
        money = spec.prices.of_training(more) if spec.prices else 0.0
        session.meter.book(train_tokens=more, money=money)
