"""Decides a task again on its newest data, holds the winner against the champion, and, where it is
better, begins to bring it into service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from trimtab.compare.paired import compare
from trimtab.earlier import as_in
from trimtab.errors import InputError, RunError
from trimtab.measure.meter import Progress
from trimtab.measure.session import Session, open_session
from trimtab.parity import require_parity
from trimtab.pipeline import Decided, decide
from trimtab.predictor import find_variant
from trimtab.retrain.reasons import Known, reasons, waiting_for
from trimtab.retrain.versus import Concluded, SliceResult, by_slice, conclude, unseen
from trimtab.store.data_versions import keep_version, read_version
from trimtab.store.deployments import Deployed, champion_since
from trimtab.store.files import append, read_nouns, read_records
from trimtab.store.run import open_run, read_info
from trimtab.store.watching import standing
from trimtab.task.near import normalised
from trimtab.task.open import OpenTask, open_task
from trimtab.task.reviewed import read_reviewed
from trimtab.types import Comparison, Example, Noun, Record, Variant
from trimtab.watch.check import Watched
from trimtab.watch.rollout import begin, refuse_second

RETRAINS = "retrains.jsonl"
STAGE = "champion against challenger"


class Retrained(Noun):
    """One line of `runs/retrains.jsonl`: what was asked, what came of it."""

    time: datetime
    """When its data was read: what is reviewed later is new to it."""
    who: str
    why: tuple[str, ...]
    data: str
    """Hash of the dataset version."""
    run: str
    champion: Deployed
    challenger: Deployed | None
    """None where the run has no winner."""
    concluded: Concluded
    comparison: Comparison | None = None
    slices: tuple[SliceResult, ...] = ()
    rollout: int | None = None
    """Number of the change that began the staged promotion; None where there is none."""


@dataclass(frozen=True)
class Called:
    """Whether anything calls for it: `why` is empty where nothing does, `next` says what would."""

    why: tuple[str, ...]
    next: str
    champion: Deployed


def called_for(watched: Watched, now: datetime, asked: str | None = None) -> Called:
    """Whether the task is to be decided again.

    Raises:
        InputError: nothing serves it yet.
    """
    begun = champion_since(watched.database, watched.task.name)
    if begun is None or begun.state.champion is None:
        raise InputError(
            f"nothing serves {watched.task.name} yet: decide it, and promote the run's winner"
        )
    champion = begun.state.champion
    decided = read_info(watched.folder / "runs" / champion.run).created
    decided = max([decided, *(each.time for each in list_retrains(watched.folder))])
    known = Known(
        task=watched.task,
        alarms=standing(watched.database, watched.task.name),
        decided=decided,
        new_rows=_new_rows(watched.folder, decided),
        rows_wanted=watched.settings.retrain.new_rows,
    )
    return Called(tuple(reasons(known, now, asked)), waiting_for(known), champion)


def retrain(
    watched: Watched,
    called: Called,
    who: str,
    progress: Progress,
    fresh: bool = False,
    roll_out: bool = True,
) -> Retrained:
    """Decide again, compare, and begin the staged promotion where the challenger is to take over.

    Hours pass in it. Where another champion serves by the end, or another staged promotion is under
    way, nothing is rolled out, and the statement says so.

    Raises:
        InputError: another staged promotion is under way.
        RunError: the champion's run is gone, or its model is not the one that was measured; or the
            challenger does not answer as its run measured.
    """
    folder, started = watched.folder, datetime.now(UTC)
    if roll_out:
        refuse_second(watched)
    _, champion = find_variant(folder / "runs" / called.champion.run, called.champion.variant)
    opened = open_task(folder)
    version = keep_version(folder, opened.examples, who, "; ".join(called.why))
    decided = decide(folder, progress, fresh)
    winner = decided.decision.winner
    challenger = None
    if winner is not None:
        challenger = Deployed(run=decided.folder.name, variant=winner.id, name=winner.name)
    concluded, comparison, slices = _compared(
        opened, called.champion, champion, winner, decided, progress
    )
    rollout = None
    if winner is not None and challenger and concluded.conclusion != "stay" and roll_out:
        require_parity(decided.folder, winner, progress.note)
        why = f"retrained ({'; '.join(called.why)}): {concluded.statement}"
        try:
            rollout = begin(watched, challenger, who, why, instead_of=called.champion).number
        except InputError as problem:
            statement = f"{concluded.statement}; nothing was rolled out: {problem}"
            concluded = concluded.model_copy(update={"statement": statement})
    found = Retrained(
        time=started,
        who=who,
        why=called.why,
        data=version.hash,
        run=decided.folder.name,
        champion=called.champion,
        challenger=challenger,
        concluded=concluded,
        comparison=comparison,
        slices=slices,
        rollout=rollout,
    )
    append(folder / "runs" / RETRAINS, [found])
    return found


def list_retrains(folder: Path) -> list[Retrained]:
    """The oldest first."""
    return read_nouns(folder / "runs" / RETRAINS, Retrained)


def _compared(
    opened: OpenTask,
    deployed: Deployed,
    champion: Variant,
    winner: Variant | None,
    decided: Decided,
    progress: Progress,
) -> tuple[Concluded, Comparison | None, tuple[SliceResult, ...]]:
    if winner is None:
        word = decided.decision.verdict.word
        statement = f"the champion stays: the decision ended in {word!r} without a variant to use"
        return Concluded(conclusion="stay", statement=statement), None, ()
    if winner.id == champion.id:
        statement = "the champion stays: it won the decision again"
        if decided.folder.name == deployed.run:
            statement = (
                "the champion stays: its own run is the newest, and no row changed since; review "
                "more calls, or decide anew with --fresh"
            )
        return Concluded(conclusion="stay", statement=statement), None, ()
    task = opened.task
    rows, old, new = _answer(opened, deployed, champion, winner, decided.folder, progress)
    if not rows:
        statement = "the champion stays: no sealed row is new to it, so both cannot be compared"
        return Concluded(conclusion="stay", statement=statement), None, ()
    clusters = opened.clusters
    found = compare(old, new, task.metric, clusters, task.seed)
    slices = by_slice(old, new, rows, task.metric, task.output.labels, clusters, task.seed)
    arms = champion.arm, winner.arm
    return conclude(found, slices, arms, task.goals.smallest_difference), found, slices


def _answer(
    opened: OpenTask,
    deployed: Deployed,
    champion: Variant,
    winner: Variant,
    folder: Path,
    progress: Progress,
) -> tuple[list[Example], list[Record], list[Record]]:
    """Sealed rows that are new to the champion, and what both answered. What the decision answered
    already is not asked again; the rest has a budget as large as the decision's."""
    info = read_info(folder)
    budget = opened.task.budget
    twice = budget.model_copy(
        update={
            "minutes": 2 * budget.minutes,
            "calls": 2 * budget.calls,
            "money": 2 * budget.money,
        }
    )
    again = replace(opened, task=opened.task.model_copy(update={"budget": twice}))
    run, _ = open_run(opened.folder, info.identity, info.settings)
    with run, open_session(again, run, progress) as session:
        old_run = opened.folder / "runs" / deployed.run
        seen = _seen(opened, old_run)
        reason = f"champion {champion.name} against challenger {winner.name}"
        test = opened.split.test.open(run.test_openings_path, reason)
        rows = unseen(test, seen, opened.clusters)
        if not rows:
            return [], [], []
        with session.meter.stage(STAGE):
            old = _records_of_champion(session, champion, old_run, rows)
            new = session.benches[winner.arm].records(winner, "test", rows)
    return rows, old, new


def _records_of_champion(
    session: Session, champion: Variant, old_run: Path, rows: Sequence[Example]
) -> list[Record]:
    """With the demonstrations and the adapter of its own run."""
    bench = session.benches.get(champion.arm)
    if bench is None or bench.engine.model_id != champion.model:
        raise RunError(
            f"the champion was measured with the model {champion.model}, which the task file no "
            "longer names; bring it back, so that champion and challenger can be compared"
        )
    bench, champion = as_in(bench, champion, old_run)
    return bench.records(champion, "test", rows)


def _seen(opened: OpenTask, old_run: Path) -> set[str]:
    """Ids of today's rows that the champion was trained or chosen on.

    Those are the inputs of its run's data, less those of the test rows that it answered there.
    Where that data was not kept, all rows that its test did not hold count as seen.
    """
    tested = {
        record.example
        for path in (old_run / "records").glob("*-test.jsonl")
        for record in read_records(path)
    }
    try:
        before = read_version(
            opened.folder, read_info(old_run).identity["data"], opened.task.output
        )
    except InputError:
        return {row.id for row in opened.examples if row.id not in tested}
    known = {normalised(row.input) for row in before if row.id not in tested}
    return {row.id for row in opened.examples if normalised(row.input) in known}


def _new_rows(folder: Path, since: datetime) -> int:
    return sum(
        line.output is not None and line.reviewed > since for line, _ in read_reviewed(folder)
    )
