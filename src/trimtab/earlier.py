"""Variants of an earlier run, asked again: as that run had them, judged as the task is now."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from trimtab.compare.summary import summarise
from trimtab.errors import RunError
from trimtab.measure.bench import Bench
from trimtab.measure.session import Session
from trimtab.predictor import find_variant
from trimtab.prompt.nearest import NearestPool
from trimtab.store.files import read_nouns
from trimtab.store.history import MEANS, Meaning, changed_parts, meaning_of_run
from trimtab.store.run import read_info
from trimtab.types import Decision, Example, Interval, Remeasured, Variant

STAGE = "newest change"
SHARE = 0.05
"""Of the budget's minutes that looking at the newest change may take."""


def as_in(bench: Bench, variant: Variant, run: Path) -> tuple[Bench, Variant]:
    """The same two, with the demonstrations and the adapter of the run that made the variant."""
    if variant.prompt.nearest:
        bench = replace(bench, pool=NearestPool(read_nouns(run / "pool.jsonl", Example)))
    if variant.adapter is not None:
        place = f"../{run.name}/{variant.adapter.path}"
        adapter = variant.adapter.model_copy(update={"path": place})
        variant = variant.model_copy(update={"adapter": adapter})
    return bench, variant


def newest_change(session: Session) -> Remeasured | None:
    """What the newest change of the task did to the measured score: the winner of the last run
    before it answers today's dev rows, and is judged by what the task asks now.

    None where no finished run had another task, its winner cannot be asked any more, or the share
    of the budget does not do.
    """
    now = meaning_of_run(session.run.info)
    found = _before(session.run.folder, now) if now is not None else None
    if found is None:
        return None
    folder, parts, decision, winner = found
    before = _dev_quality(decision, winner)
    bench = session.benches.get(winner.arm)
    if before is None or bench is None or bench.engine.model_id != winner.model:
        return None
    bench, winner = as_in(bench, winner, folder)
    seconds = SHARE * session.opened.task.budget.seconds
    with session.meter.optional(), session.meter.stage(STAGE, winner.arm, seconds):
        session.meter.check()
        opened = session.opened
        records = bench.records(winner, "dev", opened.split.dev)
        metric, seed = opened.task.metric, opened.task.seed
        after = summarise(winner, "dev", records, metric, seed, clusters=opened.clusters).quality
        return Remeasured(
            run=folder.name, name=winner.name, parts=parts, before=before, after=after
        )
    return None


def _before(run: Path, now: Meaning) -> tuple[Path, tuple[str, ...], Decision, Variant] | None:
    """The last finished run of another task than today's: what changed since, and its winner."""
    for folder in sorted(run.parent.glob("*-*"), reverse=True):
        if folder.name >= run.name or not (folder / "verdict.json").exists():
            continue
        try:
            then = meaning_of_run(read_info(folder))
            parts = changed_parts(then, now) if then is not None else ()
            told = tuple(part for part in parts if part not in MEANS)
            if told:
                return folder, told, *find_variant(folder)
        except RunError:
            return None  # the run before the change is damaged, pruned or without a winner
    return None


def _dev_quality(decision: Decision, winner: Variant) -> Interval | None:
    scores = (score for score in decision.dev_scores if score.variant == winner.id)
    return next((score.quality for score in scores), None)
