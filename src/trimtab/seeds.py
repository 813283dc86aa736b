"""The chosen fine-tune trained again from other seeds: how far its score is the luck of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trimtab.compare.consistency import told
from trimtab.compare.layouts import components
from trimtab.compare.several import Spread, over_draws
from trimtab.compare.summary import summarise
from trimtab.errors import BudgetSpent
from trimtab.measure.consistency import CONSISTENCY
from trimtab.measure.session import Session
from trimtab.types import (
    Adapter,
    Comparison,
    CurvePoint,
    Record,
    Sensitivity,
    Variant,
    VariantScore,
)

SEEDS = "training seeds"
MORE_SEEDS = 2
"""Besides the first: of two in all hardly anything could be told (`compare.several`)."""
SEED_SHARE = 0.1
"""Share of the budget that they may take. They choose nothing, so both arms' shares stay equal."""
_SLACK = 1.5
"""Times what the first training took that must be left: dev is scored besides."""


@dataclass(frozen=True)
class Replica:
    """One more training by the recipe that made the finalist: all sizes up to its own, each going
    on from the one before, at its learning rate. `records` are its answers to the dev rows, asked
    as the finalist is."""

    points: tuple[CurvePoint, ...]
    records: tuple[Record, ...]

    @property
    def name(self) -> str:
        return f"seed {self.points[-1].seed}"


def train_again(
    session: Session, finalists: Sequence[Variant], curve: Sequence[CurvePoint]
) -> tuple[Replica, ...]:
    """Train the fine-tune arm's finalist again from other seeds, if all of them fit into their
    share and into what the budget leaves; else nothing. `curve` are the points of the first seed.

    Neither a remedy nor a model that an endpoint trained has a recipe that can be repeated here.
    """
    finalist = next((each for each in finalists if each.arm == "fine-tune"), None)
    if session.tuner is None or finalist is None or finalist.adapter is None:
        return ()
    chain = [point for point in curve if point.rows <= finalist.adapter.rows]
    first = session.opened.task.seed + 1
    seeds = range(first, first + MORE_SEEDS)
    fitting = _begun(session, seeds) or _affordable(session, chain)
    if not _has_recipe(finalist.adapter) or not fitting:
        return ()
    found: list[Replica] = []
    meter = session.meter
    stopped_by = meter.stopped_by
    try:
        with meter.stage(SEEDS, "fine-tune", SEED_SHARE * _budget(session)):
            for each in seeds:
                replica = _replica(session, finalist, [point.rows for point in chain], each)
                if replica is None:
                    break
                found.append(replica)
    except BudgetSpent:
        pass
    if not meter.run_spent:
        meter.stopped_by = stopped_by  # fewer seeds are no early stop
    return tuple(found)


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
    _, trained = arm.run(opened.split.train, dev, sizes)
    if len(trained) < len(sizes):
        return None
    adapter = trained[-1].variant.adapter
    variant = finalist.model_copy(
        update={"adapter": adapter, "name": f"{finalist.name}, seed {seed}"}
    )
    return Replica(tuple(each.point for each in trained), tuple(bench.records(variant, "dev", dev)))


def _has_recipe(adapter: Adapter) -> bool:
    """Whether the arm's own training made it, and no remedy came after."""
    trained = f"{adapter.rows}-rows-{adapter.learning_rate:g}/epoch-{adapter.epoch}"
    return adapter.path == f"adapters/{trained}"


def _begun(session: Session, seeds: Sequence[int]) -> bool:
    """Whether an earlier sitting found that they fit."""
    return any((session.run.folder / f"seed-{seed}").exists() for seed in seeds)


def _affordable(session: Session, chain: Sequence[CurvePoint]) -> bool:
    needed = _SLACK * MORE_SEEDS * sum(point.seconds for point in chain)
    reserved = sum(stage.seconds for stage in session.plan.stages if stage.stage == CONSISTENCY)
    left = _budget(session) - session.meter.seconds - reserved
    return needed <= min(left, SEED_SHARE * _budget(session))


def _budget(session: Session) -> float:
    return session.opened.task.budget.minutes * 60
