"""The steps of a decision, each a function from a session to measured values."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trimtab import hosting, prompting, tuning
from trimtab.decide.ahead import money_ahead
from trimtab.decide.evidence import Evidence, recent_traffic
from trimtab.decide.money import Effort, money
from trimtab.errors import BudgetSpent
from trimtab.language import knowledge_needed
from trimtab.measure.plan import TRAINING
from trimtab.measure.retain import REMEDIES
from trimtab.measure.session import Session
from trimtab.prompt.variants import constrained
from trimtab.retention import keep_general_ability
from trimtab.scores import score_of
from trimtab.store.history import task_history
from trimtab.task.split import labels_to_train
from trimtab.tune.forecast import forecast
from trimtab.types import (
    Arm,
    Comparison,
    Consistency,
    CurvePoint,
    Finding,
    Forecast,
    HostedJob,
    Interval,
    JudgeAgreement,
    Language,
    Remeasured,
    Retention,
    Searched,
    Spent,
    Variant,
    VariantScore,
)


@dataclass
class Candidates:
    """Every variant that was scored on dev. One winner of each arm goes on."""

    variants: list[Variant] = field(default_factory=list)
    scores: list[VariantScore] = field(default_factory=list)
    stopped: Sequence[Variant] = ()
    """Prompts that did not see all dev rows: they were behind, or the budget ended."""
    searched: Searched | None = None
    sweep: Sequence[CurvePoint] = ()
    curve: Sequence[CurvePoint] = ()
    searched_tune: CurvePoint | None = None
    """The best size once more, under the searched instructions: another prompt, so no point of the
    curve."""
    jobs: Sequence[HostedJob] = ()
    """What became of fine-tuning at an endpoint."""
    no_tuning: str | None = None
    """Why training gave no fine-tune."""
    reseeded: Sequence[CurvePoint] = ()
    """The finalist's sizes again, from other seeds. They choose nothing."""
    kept: Variant | None = None
    """The fine-tune to go on with where general ability was looked at: the best or its remedy."""

    def best(self, arm: Arm) -> Variant | None:
        """The highest dev quality; of equals, the one with the shorter prompt."""
        if arm == "fine-tune" and self.kept is not None:
            return self.kept
        ranked = [
            (score.rank, -(score.tokens_in or 0.0), variant)
            for variant, score in zip(self.variants, self.scores, strict=True)
            if variant.arm == arm and score.quality.estimate is not None
        ]
        return max(ranked, key=lambda each: each[:2])[2] if ranked else None


def search_prompts(session: Session, candidates: Candidates) -> None:
    """Race the prompt arm's candidates on dev, within the arm's share of the budget."""
    found = prompting.search(session)
    for variant in found.finished:
        _score_on_dev(session, variant, candidates)
    candidates.stopped = found.stopped
    candidates.searched = found.searched


def look_at_layouts(session: Session, candidates: Candidates) -> None:
    """How much the best prompt's quality hangs on its layout, as far as the budget leaves time."""
    best = candidates.best("prompt")
    if best is None or candidates.searched is None:
        return
    found = prompting.other_layouts(session, best)
    candidates.searched = candidates.searched.model_copy(update={"sensitivity": found})


def tune(session: Session, candidates: Candidates) -> None:
    """Train the nested sizes and score each on dev, within the arm's share of the budget."""
    if not session.plan.train_sizes:
        return
    with session.meter.stage(TRAINING, "fine-tune", session.plan.arm_seconds):
        if session.host is not None:
            _tune_hosted(session, candidates)
            _constrain_best(session, candidates)
        else:
            _tune_here(session, candidates)


def _constrain_best(session: Session, candidates: Candidates) -> None:
    best = candidates.best("fine-tune")
    if best is not None and session.opened.task.output.kind != "text":
        with suppress(BudgetSpent):  # then the unconstrained variant stands
            _score_on_dev(session, constrained(best), candidates)


def _tune_hosted(session: Session, candidates: Candidates) -> None:
    found = hosting.tune(session, lambda variant: _score_on_dev(session, variant, candidates))
    candidates.curve = [each.point for each in found.trained]
    candidates.jobs, candidates.no_tuning = found.jobs, found.why_none


def _tune_here(session: Session, candidates: Candidates) -> None:
    def evaluate(variant: Variant) -> VariantScore:
        return _score_on_dev(session, variant, candidates)

    found = tuning.tune(session, evaluate)
    candidates.sweep, candidates.curve = found.sweep, [each.point for each in found.trained]
    _constrain_best(session, candidates)
    best, prompt = candidates.best("fine-tune"), candidates.best("prompt")
    if best is None or prompt is None:
        return
    searched = tuning.tune_searched(session, best, prompt, found, evaluate)
    if searched is not None:
        candidates.searched_tune = searched.point
        _constrain_best(session, candidates)


def retain(session: Session, candidates: Candidates) -> Retention | None:
    """Where general ability is needed: what the best fine-tune loses, and a remedy for too much."""
    best = candidates.best("fine-tune")
    needed = session.opened.task.constraints.general_ability == "needed"
    if best is None or not needed or session.tuner is None:
        return None
    kept = keep_general_ability(session, best, lambda v: _score_on_dev(session, v, candidates))
    candidates.kept = kept.variant if kept else None
    return kept.retention if kept else None


def forecast_curve(session: Session, candidates: Candidates) -> Forecast | None:
    """What more labels would bring; None where nothing was trained."""
    if not candidates.curve:
        return None
    task = session.opened.task
    return forecast(
        [*candidates.curve, *candidates.reseeded],
        task.goals.quality,
        task.labelling.cost_per_example,
        task.seed,
        labelled=len(session.opened.split.train),
        prompt=_dev_quality(candidates, "prompt"),
        labels=lambda have, rows: labels_to_train(have, rows, task.data.dev, task.data.test),
    )


def _dev_quality(candidates: Candidates, arm: Arm) -> Interval | None:
    """Of the arm's best variant on dev."""
    best = candidates.best(arm)
    scored = zip(candidates.variants, candidates.scores, strict=True)
    return next((score.quality for variant, score in scored if variant == best), None)


def gather(
    session: Session,
    candidates: Candidates,
    scores: dict[Arm, VariantScore],
    comparison: Comparison | None,
    outlook: Forecast | None,
    findings: Sequence[Finding],
    retention: Retention | None = None,
    judge: JudgeAgreement | None = None,
    consistency: Consistency | None = None,
    language: Language | None = None,
    remeasured: Remeasured | None = None,
) -> Evidence:
    """Everything that the gates and the rule look at."""
    opened = session.opened
    today, history = datetime.now(UTC).date(), task_history(opened.folder)
    served = recent_traffic(history, today)
    prompt, tuned, searched = scores.get("prompt"), scores.get("fine-tune"), candidates.searched
    answer = ahead = None
    if prompt and tuned:
        more = [candidates.searched_tune] if candidates.searched_tune else []
        spent = Effort.of(candidates.sweep, [*candidates.curve, *more])
        spent = spent.mended(_remedies(session), in_use=_is_remedy(candidates.best("fine-tune")))
        answer = money(opened.task, prompt, tuned, comparison, spent, served)
        ahead = money_ahead(opened.task, prompt, tuned, comparison, spent, outlook, served)
    distinct = {row.id: row for row in opened.examples}
    return Evidence(
        task=opened.task,
        today=today,
        prompt=prompt,
        fine_tune=tuned,
        comparison=comparison,
        money=answer.money if answer else None,
        money_missing=answer.missing if answer else (),
        money_ahead=ahead,
        forecast=outlook,
        n_train=len(opened.split.train),
        rows_approved=sum(row.approved_by is not None for row in distinct.values()),
        rows_total=len(distinct),
        prompt_search_complete=searched.complete if searched else False,
        plateau=searched.plateau if searched else None,
        sensitivity=searched.sensitivity if searched else None,
        no_tuning=session.plan.no_tuning or candidates.no_tuning,
        no_retention=hosting.NO_RETENTION if session.host is not None else None,
        findings=tuple(findings),
        retention=retention,
        judge=judge,
        consistency=consistency,
        language=language,
        knowledge=knowledge_needed(session, (*candidates.variants, *candidates.stopped)),
        stopped_by=session.meter.stopped_by,
        history=history,
        remeasured=remeasured,
    )


def _remedies(session: Session) -> Spent:
    """What was spent on mending what the fine-tune lost elsewhere."""
    found = (spent for spent in session.run.spent() if spent.stage == REMEDIES)
    return sum(found, Spent(stage=REMEDIES, arm="fine-tune"))


def _is_remedy(variant: Variant | None) -> bool:
    return variant is not None and variant.adapter is not None and variant.adapter.made == "remedy"


def _score_on_dev(session: Session, variant: Variant, candidates: Candidates) -> VariantScore:
    records = session.benches[variant.arm].records(variant, "dev", session.opened.split.dev)
    score = score_of(session, variant, "dev", records)
    if variant.id not in {known.id for known in candidates.variants}:
        candidates.variants.append(variant)
        candidates.scores.append(score)
    return score
