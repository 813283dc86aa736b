"""The chosen fine-tune trained again from other seeds: how far its score is the luck of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.compare.consistency import told
from trimtab.compare.layouts import components
from trimtab.compare.several import Spread, over_draws
from trimtab.compare.summary import summarise
from trimtab.measure.meter import JUDGING
from trimtab.measure.plan import CONFIRMATION
from trimtab.measure.session import Session
from trimtab.types import (
    Comparison,
    CurvePoint,
    Record,
    Sensitivity,
    Spent,
    Variant,
    VariantScore,
)

SEEDS = "training seeds"
MORE_SEEDS = 2
"""Besides the first: of two in all hardly anything could be told (`compare.several`)."""
SEED_SHARE = 1 / 3
"""Share of the budget that they may take, of what no other stage needs: they come last. It is a
little less than one arm gets, since they choose nothing and only tell how sure the choice is. The
finalist's own training may take a sixth of the budget then; where it takes more, two more of it
would cost what both arms' search does."""
_LAST = 0.02
"""Share of the budget that they leave for the winner's parity, and so that a slow moment ends them
and not the run."""
_SLACK = 1.1
"""Times what the first seed took that must be left."""


@dataclass(frozen=True)
class Replica:
    """One more training by the recipe that made the finalist: all sizes up to its own, each going
    on from the one before, at its learning rate; then its own once more under the searched
    instructions, where it has those. `points` are the sizes, `records` the answers to the dev rows,
    asked as the finalist is."""

    points: tuple[CurvePoint, ...]
    records: tuple[Record, ...]

    @property
    def name(self) -> str:
        return f"seed {self.points[-1].seed}"


def train_again(
    session: Session,
    finalists: Sequence[Variant],
    curve: Sequence[CurvePoint],
    searched: CurvePoint | None = None,
) -> tuple[Replica, ...]:
    """Train the fine-tune arm's finalist again from other seeds, if all of them fit into their
    share and into what the budget leaves; else nothing. `curve` are the points of the first seed,
    `searched` is that under the searched instructions.

    Neither a remedy nor a model that an endpoint trained has a recipe that can be repeated here.
    """
    finalist = _repeatable(session, finalists)
    needed = seeds_need(session, finalists, curve, searched)
    seeds = _seeds(session)
    fitting = needed is not None and (needed + closing(session)).within(session.meter.left)
    if finalist is None or not (fitting or _begun(session, seeds)):
        return ()
    sizes = [point.rows for point in _chain(finalist, curve)]
    found: list[Replica] = []
    until = session.opened.task.budget.seconds - closing(session).seconds
    session.note(f"training the fine-tune again from {MORE_SEEDS} more seeds")
    with session.meter.optional(), session.meter.stage(SEEDS, "fine-tune", until=until):
        for each in seeds:
            replica = _replica(session, finalist, sizes, each)
            if replica is None:
                break
            found.append(replica)
    return tuple(found)


def seeds_need(
    session: Session,
    finalists: Sequence[Variant],
    curve: Sequence[CurvePoint],
    searched: CurvePoint | None = None,
) -> Spent | None:
    """What the trainings would take, from what the first seed's took and from what the sealed test
    took for each answer; None where nothing can be trained again, or not within their share."""
    finalist = _repeatable(session, finalists)
    if finalist is None:
        return None
    trained = _chain(finalist, curve)
    if searched is not None and _under_searched(finalist):
        trained.append(searched)
    answers = len(session.opened.split.dev) * sum(point.epochs for point in trained)
    one = _answer(session)
    times = _SLACK * MORE_SEEDS
    needed = Spent(
        stage=SEEDS,
        arm="fine-tune",
        calls=MORE_SEEDS * answers * one.calls,
        seconds=times * (sum(point.seconds for point in trained) + answers * one.seconds),
        money=times * answers * one.money,
    )
    most = SEED_SHARE * session.opened.task.budget.seconds
    return needed if needed.seconds <= most else None


def closing(session: Session) -> Spent:
    """What is kept for the end of the run."""
    return Spent(stage="closing", seconds=_LAST * session.opened.task.budget.seconds)


def allow_for_draws(
    session: Session,
    comparison: Comparison | None,
    finalists: Sequence[Variant],
    layouts: Sensitivity | None,
    replicas: Sequence[Replica],
) -> Comparison | None:
    """The comparison with training seeds and prompt layouts in its interval, as far as known."""
    tuned = next((each for each in finalists if each.arm == "fine-tune"), None)
    if comparison is None or tuned is None:
        return comparison
    dev = session.benches["fine-tune"].records(tuned, "dev", session.opened.split.dev)
    of_layouts = Spread(len(layouts.layouts), layouts.spread) if layouts else Spread(1, None)
    of_seeds = seed_spread(dev, replicas, session.opened.task.metric)
    return over_draws(comparison, {"prompt layout": of_layouts, "training seed": of_seeds})


def seed_spread(finalist: Sequence[Record], replicas: Sequence[Replica], metric: str) -> Spread:
    """How far the mean dev score moves with the seed; `finalist` are the first seed's records."""
    of_seeds = [told(records, metric) for records in (finalist, *(r.records for r in replicas))]
    shared = [row for row in of_seeds[0] if all(row in answers for answers in of_seeds)]
    table = np.array([[answers[row].score for row in shared] for answers in of_seeds])
    parts = components(table.astype(np.float64))
    return Spread(len(of_seeds), None if parts is None else parts.source**0.5)


def _replica(
    session: Session, finalist: Variant, sizes: Sequence[int], seed: int
) -> Replica | None:
    """None where the budget ended before the last size."""
    from trimtab.tune.arm import TuneArm

    assert session.tuner is not None and finalist.adapter is not None
    opened, bench = session.opened, session.benches["fine-tune"]
    task, dev = opened.task, opened.split.dev

    def evaluate(variant: Variant) -> VariantScore:
        records = bench.records(variant, "dev", dev)
        return summarise(variant, "dev", records, task.metric, seed, clusters=opened.clusters)

    def on_tokens(tokens: int) -> None:
        session.meter.book(train_tokens=tokens)
        session.meter.check()

    search = task.search.model_copy(update={"learning_rates": (finalist.adapter.learning_rate,)})
    arm = TuneArm(
        engine=session.tuner,
        task=task.model_copy(update={"seed": seed, "search": search}),
        folder=session.run.folder / f"seed-{seed}",
        max_tokens=session.plan.max_tokens,
        evaluate=evaluate,
        on_tokens=on_tokens,
    )
    train = opened.split.train
    _, trained = arm.run(train, dev, sizes)
    finished = arm.folder / "finished"
    if not finished.exists():
        session.meter.check()  # else a size that the budget cut off may be among them
    if len(trained) < len(sizes):
        return None
    last = trained[-1]
    if _under_searched(finalist):
        before = trained[-2] if len(trained) > 1 else None
        last = arm.under(finalist.prompt, last, before, train, dev)
        if not finished.exists():
            session.meter.check()
    adapter = last.variant.adapter
    variant = finalist.model_copy(
        update={"adapter": adapter, "name": f"{finalist.name}, seed {seed}"}
    )
    records = bench.records(variant, "dev", dev)
    finished.touch()
    return Replica(tuple(each.point for each in trained), tuple(records))


def _under_searched(finalist: Variant) -> bool:
    """Whether it was trained under the instructions that the prompt search found."""
    return finalist.adapter is not None and finalist.adapter.made == "searched"


def _repeatable(session: Session, finalists: Sequence[Variant]) -> Variant | None:
    """The fine-tune among the finalists, where it can be trained again here: a remedy cannot."""
    finalist = next((each for each in finalists if each.arm == "fine-tune"), None)
    if session.tuner is None or finalist is None or finalist.adapter is None:
        return None
    return None if finalist.adapter.made == "remedy" else finalist


def _answer(session: Session) -> Spent:
    """What an answer of the fine-tune took on the sealed test, with its part of all judging."""
    spent = {stage.key: stage for stage in session.run.spent() if stage.arm == "fine-tune"}
    test = spent.get((CONFIRMATION, "fine-tune"), Spent(stage=CONFIRMATION))
    judged = spent.get((JUDGING, "fine-tune"), Spent(stage=JUDGING))
    answers = sum(stage.calls for stage in spent.values()) - judged.calls
    return Spent(
        stage=SEEDS,
        calls=1 + math.ceil(judged.calls / max(answers, 1)),
        seconds=test.seconds / max(test.calls, 1) + judged.seconds / max(answers, 1),
        money=test.money / max(test.calls, 1) + judged.money / max(answers, 1),
    )


def _chain(finalist: Variant, curve: Sequence[CurvePoint]) -> list[CurvePoint]:
    """The sizes that led to it."""
    assert finalist.adapter is not None
    return [point for point in curve if point.rows <= finalist.adapter.rows]


def _seeds(session: Session) -> range:
    first = session.opened.task.seed + 1
    return range(first, first + MORE_SEEDS)


def _begun(session: Session, seeds: Sequence[int]) -> bool:
    """Whether an earlier sitting found that they fit."""
    return any((session.run.folder / f"seed-{seed}").exists() for seed in seeds)
