"""The whole of loop one: from a task to a verdict with its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from trimtab import __version__
from trimtab.audit.audit import audit, refuse_leaks, with_difficulty
from trimtab.audit.open import subject_of
from trimtab.confirmation import cases, compare_finalists, confirm, score_on_test
from trimtab.consistency import ask_again, steadiness
from trimtab.decide.judge import may_judge
from trimtab.decide.rule import decide as apply_rule
from trimtab.decide.rule import rule_sha256
from trimtab.earlier import newest_change
from trimtab.judging import judge_agreement, judge_preference
from trimtab.language import domain_language
from trimtab.measure.meter import Progress, Silent
from trimtab.measure.plan import Plan
from trimtab.measure.session import Session, environment, open_session
from trimtab.parity import prove_winner
from trimtab.prompt.own import own_prompts
from trimtab.report.html import render_html
from trimtab.retention import look_elsewhere
from trimtab.score.registry import scoring_files
from trimtab.seeds import allow_for_draws, train_again
from trimtab.spare import set_aside
from trimtab.steps import (
    Candidates,
    forecast_curve,
    gather,
    look_at_layouts,
    retain,
    search_prompts,
    tune,
)
from trimtab.store.data_versions import keep_version
from trimtab.store.files import append, write_atomic
from trimtab.store.history import test_uses
from trimtab.store.run import Run, open_run
from trimtab.task.open import OpenTask, open_task
from trimtab.tune.retention.suite import load_suite
from trimtab.types import Arm, Decision, VariantScore, content_hash

ARMS: tuple[Arm, ...] = ("prompt", "fine-tune")


@dataclass(frozen=True)
class Decided:
    """A decision and where it is kept. `why` says why this run was started or resumed."""

    decision: Decision
    folder: Path
    why: str


def decide(path: str | Path, progress: Progress | None = None, fresh: bool = False) -> Decided:
    """Decide the task at `path`; a run that was cut off goes on, a finished one is read.

    Raises the errors of `trimtab.errors`; what was measured until then is kept in the run.
    """
    progress = progress or Silent()
    opened = open_task(Path(path))
    run, why = _open_run(opened, fresh)
    progress.note(f"{run.folder}: {why}")
    with run:
        if not run.finished:
            with open_session(opened, run, progress) as session:
                _write(session, _decide(session))
        decision = Decision.model_validate_json(run.verdict_path.read_bytes())
    return Decided(decision, run.folder, why)


def plan(path: str | Path, progress: Progress | None = None) -> tuple[OpenTask, Plan]:
    """What `decide` will do, from a short calibration; `decide` then follows this plan."""
    progress = progress or Silent()
    opened = open_task(Path(path))
    run, why = _open_run(opened, fresh=False)
    progress.note(f"{run.folder}: {why}")
    with run:
        if run.plan_path.exists():
            return opened, Plan.model_validate_json(run.plan_path.read_bytes())
        with open_session(opened, run, progress) as session:
            return opened, session.plan


def _decide(session: Session) -> Decision:
    opened, task = session.opened, session.opened.task
    findings = audit(subject_of(opened))
    refuse_leaks(findings)
    candidates = Candidates()
    agreed = judge_agreement(session)
    if may_judge(task, agreed):  # scores that decide nothing are worth no search
        search_prompts(session, candidates)
        tune(session, candidates)
    retained = retain(session, candidates)
    finalists = [best for arm in ARMS if (best := candidates.best(arm))]
    confirmed = confirm(session, finalists)
    last = [each.variant for each in confirmed]
    preference = judge_preference(session, {c.variant.arm: c.records for c in confirmed})
    # What cannot do with less comes before stages that take what is left.
    retained = retained or look_elsewhere(session, last)
    look_at_layouts(session, candidates)
    trained = candidates.curve, candidates.searched_tune
    answers = ask_again(session, last, set_aside(session, last, *trained))
    spoken = domain_language(session, last)
    replicas = train_again(session, last, *trained)
    candidates.reseeded = [point for replica in replicas for point in replica.points]
    layouts = candidates.searched.sensitivity if candidates.searched else None
    comparison = compare_finalists(session, confirmed)
    comparison = allow_for_draws(session, comparison, last, layouts, replicas)
    again = steadiness(session, answers, replicas)
    scores: dict[Arm, VariantScore] = {
        each.variant.arm: score_on_test(session, each, again.agreement.get(each.variant.arm))
        for each in confirmed
    }
    remeasured = newest_change(session)
    findings = with_difficulty(findings, opened.examples, session.run.folder, task.metric)
    outlook = forecast_curve(session, candidates)
    evidence = gather(
        session,
        candidates,
        scores,
        comparison,
        outlook,
        findings,
        retained,
        agreed,
        again.consistency,
        spoken,
        remeasured,
    )
    verdict = apply_rule(evidence)
    prove_winner(session, next((each for each in last if each.id == verdict.winner), None))
    return Decision(
        task=task.name,
        run=session.run.name,
        created=datetime.now(UTC),
        verdict=verdict,
        metric=task.metric,
        goals={
            "quality": task.goals.quality,
            "validity": task.goals.validity,
            "smallest_difference": task.goals.smallest_difference,
            "p95_latency_seconds": task.constraints.p95_latency_seconds,
            "money_per_1000_calls": task.constraints.money_per_1000_calls,
        },
        prompt=scores.get("prompt"),
        fine_tune=scores.get("fine-tune"),
        comparison=comparison,
        money=evidence.money,
        variants=(*candidates.variants, *candidates.stopped),
        dev_scores=tuple(candidates.scores),
        search=candidates.searched,
        curve=(*candidates.sweep, *candidates.curve, *candidates.reseeded),
        forecast=outlook,
        retention=retained,
        consistency=again.consistency,
        language=spoken,
        knowledge=evidence.knowledge,
        judge=agreed,
        preference=preference,
        audit=findings,
        rows={
            "train": len(opened.split.train),
            "dev": len(opened.split.dev),
            "test": len(opened.split.test),
        },
        cases=cases(session, confirmed),
        planned=session.plan.stages,
        spent=session.run.spent(),
        stopped_by=evidence.stopped_by,
        no_tuning=evidence.no_tuning,
        jobs=tuple(candidates.jobs),
        test_openings=_openings(session.run),
        test_uses=test_uses(session.run.folder),
        settings=task.model_dump(mode="json", by_alias=True),
        environment=environment(session),
    )


def _write(session: Session, decision: Decision) -> None:
    """The verdict comes last: with it, the run is finished."""
    run, opened = session.run, session.opened
    keep_version(opened.folder, opened.examples, "trimtab decide", run.info.why)
    if any(variant.prompt.nearest for variant in decision.variants):
        run.pool_path.unlink(missing_ok=True)
        append(run.pool_path, opened.split.train)
    write_atomic(run.report_path, render_html(decision))
    write_atomic(run.verdict_path, decision.model_dump_json(indent=2, by_alias=True) + "\n")


def _open_run(opened: OpenTask, fresh: bool) -> tuple[Run, str]:
    settings = opened.task.model_dump(mode="json", by_alias=True)
    identity = {
        "task file": content_hash(opened.task.model_dump_json()),
        "data": opened.data_hash,
        "rule": rule_sha256(),
        "Trimtab's version": __version__,
    }
    if own := opened.task.constraints.retention_suite:
        identity["retention suite"] = load_suite(opened.folder / own).sha
    if prompts := own_prompts(opened.folder, opened.task):
        identity["own prompts"] = content_hash(*(each.model_dump_json() for each in prompts))
    identity |= scoring_files(opened.task, opened.folder)
    return open_run(opened.folder, identity, settings, fresh)


def _openings(run: Run) -> tuple[str, ...]:
    if not run.test_openings_path.exists():
        return ()
    return tuple(run.test_openings_path.read_text("utf-8").splitlines())
