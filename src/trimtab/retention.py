"""What the best fine-tune loses on everything else, and what mends it where that is too much."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from trimtab.compare.retention import Pair, retained, retention_status
from trimtab.errors import BudgetSpent
from trimtab.measure.plan import TRAINING
from trimtab.measure.retain import (
    REMEDIES,
    RETENTION,
    SCALES,
    SuiteBench,
    planned,
    suite_for,
)
from trimtab.measure.session import Session
from trimtab.tune.retention.suite import Suite
from trimtab.types import Retention, Spent, TradeOff, Variant, VariantScore

_SLACK = 1.5
"""The plan's seconds times this must be left before an unplanned look begins."""

Evaluate = Callable[[Variant], VariantScore]
"""Scores a variant on dev."""
_Tried = tuple[VariantScore, Retention, Variant]


@dataclass(frozen=True)
class Kept:
    """What was measured, and the fine-tune to go on with: the best, or its remedy."""

    retention: Retention
    variant: Variant


def keep_general_ability(session: Session, best: Variant, evaluate: Evaluate) -> Kept | None:
    """Measure what `best` loses; where it is not shown to be within the margin, try the remedies.

    None where the budget ended before there was a figure.
    """
    study = _Study(session, suite_for(session.opened))
    try:
        with session.meter.stage(RETENTION, "fine-tune"):
            retention = study.retention(best)
    except BudgetSpent:
        return None
    if retention.status == "pass":
        return Kept(retention, best)
    return study.mend(best, retention, evaluate)


def elsewhere_need(session: Session, finalists: Sequence[Variant]) -> Spent | None:
    """What `look_elsewhere` has still to take, at most; None where nothing is looked at."""
    if session.tuner is None or not _to_look(session, finalists) or _begun(session):
        return None
    suite = suite_for(session.opened)
    takes = planned(session.tuner, suite, session.plan.rates["fine-tune"])
    return takes.model_copy(update={"seconds": _SLACK * takes.seconds})


def look_elsewhere(session: Session, finalists: Sequence[Variant]) -> Retention | None:
    """What the fine-tune loses where nobody needs it: measured if the budget leaves time, or an
    earlier sitting began it."""
    if not _to_look(session, finalists):
        return None
    needed = elsewhere_need(session, finalists)
    if needed is not None and not needed.within(session.meter.left):
        return None
    (variant,) = [each for each in finalists if each.arm == "fine-tune"]
    try:
        with session.meter.stage(RETENTION, "fine-tune"):
            return _Study(session, suite_for(session.opened)).retention(variant)
    except BudgetSpent:
        return None


def _to_look(session: Session, finalists: Sequence[Variant]) -> bool:
    asked = session.opened.task.constraints.general_ability == "not-needed"
    here = session.tuner is not None
    return asked and here and any(each.arm == "fine-tune" for each in finalists)


def _begun(session: Session) -> bool:
    """Whether an earlier sitting found that it fits."""
    return any((session.run.folder / RETENTION).glob("*"))


class _Study:
    """One suite on one session's tuned models."""

    def __init__(self, session: Session, suite: Suite) -> None:
        assert session.tuner is not None
        self._session = session
        self._engine = session.tuner
        self._task = session.opened.task
        self._bench = SuiteBench(session.run, session.tuner, session.meter, suite)

    def retention(self, variant: Variant) -> Retention:
        """All that the suite tells of `variant`. Raises `BudgetSpent`."""
        from trimtab.tune.rows import encode

        assert variant.adapter is not None
        margin, seed = self._task.constraints.retention_margin, self._task.seed
        base, tuned = self._bench.scores(None), self._bench.scores(variant.adapter)
        pairs = [Pair(b.section, b.score, t.score) for b, t in zip(base, tuned, strict=True)]
        overall, parts = retained(pairs, margin, seed)
        failures = sum(pair.base is None or pair.tuned is None for pair in pairs)
        bits = [
            (b.bits_per_byte, t.bits_per_byte)
            for b, t in zip(base, tuned, strict=True)
            if b.bits_per_byte is not None and t.bits_per_byte is not None
        ]
        dev = encode(self._engine.template, variant.prompt, self._session.opened.split.dev)
        moved = self._bench.divergence(variant.adapter, dev)
        return Retention(
            variant=variant.id,
            name=variant.name,
            margin=margin,
            complete=self._bench.suite.complete,
            status=retention_status(overall, parts, failures, len(pairs)),
            overall=overall,
            sections=parts,
            failures=failures,
            bits_per_byte=(_mean([b for b, _ in bits]), _mean([t for _, t in bits]))
            if bits
            else None,
            divergence_task=moved.task,
            divergence_general=moved.general,
        )

    def mend(self, best: Variant, lost: Retention, evaluate: Evaluate) -> Kept:
        """Try the remedies, from cheap to dear, until one passes without losing the gain."""
        tried = [(evaluate(best), lost, best)]
        meter = self._session.meter
        with suppress(BudgetSpent), meter.stage(REMEDIES, "fine-tune", self._share()):
            for variant in self._remedies(best, tried):
                retention = self.retention(variant)
                tried.append((evaluate(variant), retention, variant))
        passing = [each for each in tried if each[1].status == "pass"]
        _, kept, variant = max(passing, key=lambda each: each[0].rank) if passing else tried[0]
        points = tuple(
            TradeOff(
                variant=each.variant,
                name=each.name,
                dev_quality=score.quality,
                difference=each.overall.difference,
                status=each.status,
            )
            for score, each, _ in tried
        )
        return Kept(kept.model_copy(update={"trade_offs": points}), variant)

    def _remedies(self, best: Variant, tried: Sequence[_Tried]) -> Iterator[Variant]:
        """The next remedy, as long as what was tried asks for one.

        Of the scaled copies none after the first that passes: it would only do less of the task.
        """
        from trimtab.tune.remedies import RECIPES, retrained, scaled

        session, adapter = self._session, best.adapter
        assert adapter is not None
        for factor in SCALES:
            if tried[-1][1].status == "pass":
                break
            smaller = scaled(adapter, session.run.folder, factor)
            name = f"{best.name}, adapter at {factor:.0%}"
            yield best.model_copy(update={"adapter": smaller, "name": name})
        split = session.opened.split
        for recipe in RECIPES:
            if self._mended(tried):
                return
            yield retrained(
                self._engine,
                self._task,
                split.train[: adapter.rows],
                split.dev,
                best,
                recipe,
                session.run.adapters_path,
                self._on_tokens,
            )

    def _mended(self, tried: Sequence[_Tried]) -> bool:
        """Whether a remedy passes and is not worse on dev by as much as matters."""
        least = tried[0][0].rank[1] - self._task.goals.smallest_difference
        return any(each.status == "pass" and score.rank[1] > least for score, each, _ in tried)

    def _share(self) -> float:
        """Seconds for remedies: those planned, and what training left of the arm's share."""
        plan, run = self._session.plan, self._session.run
        reserved = sum(stage.seconds for stage in plan.stages if stage.stage == REMEDIES)
        trained = sum(stage.seconds for stage in run.spent() if stage.stage == TRAINING)
        return reserved + max(0.0, plan.arm_seconds - trained)

    def _on_tokens(self, tokens: int) -> None:
        self._session.meter.book(train_tokens=tokens)
        self._session.meter.check()


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
