"""The steps of a decision, each a function from a session to measured values."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from trimtab import hosting, prompting, tuning
from trimtab.compare.labels import label_table
from trimtab.compare.latency import latency
from trimtab.compare.looking import Looking
from trimtab.compare.paired import compare
from trimtab.compare.records import answered, first_repeats, scored
from trimtab.compare.sequential import deciding
from trimtab.compare.summary import summarise
from trimtab.decide.ahead import money_ahead
from trimtab.decide.cost import cost_of_1000_calls
from trimtab.decide.evidence import Evidence, recent_traffic
from trimtab.decide.money import Effort, money
from trimtab.errors import BudgetSpent
from trimtab.language import knowledge_needed
from trimtab.measure.bench import prompt_tokens
from trimtab.measure.plan import (
    CONFIRMATION,
    LATENCY,
    TRAINING,
)
from trimtab.measure.session import Session
from trimtab.prompt.variants import constrained
from trimtab.retention import keep_general_ability
from trimtab.store.history import task_history
from trimtab.tune.forecast import forecast
from trimtab.types import (
    Arm,
    Case,
    Comparison,
    Completion,
    Consistency,
    CurvePoint,
    Example,
    Finding,
    Forecast,
    HostedJob,
    Interval,
    JudgeAgreement,
    LabelTable,
    Language,
    Latency,
    Record,
    Remeasured,
    Retention,
    Scored,
    Searched,
    Sequential,
    SplitName,
    Variant,
    VariantScore,
)

_WINS_SHOWN = 12
_ROWS_IN_TURN = 5


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


@dataclass
class Confirmed:
    """What the winner of one arm did on the sealed test."""

    variant: Variant
    records: list[Record]
    latency: Latency | None = None
    looked: Sequential | None = None
    """How the comparison with the other finalist went, where it was looked at on the way."""


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


def confirm(session: Session, finalists: Sequence[Variant]) -> list[Confirmed]:
    """The winners meet the sealed test once; then latency, as the budget allows.

    Without a winner the test stays sealed.
    """
    if not finalists:
        return []
    run, meter = session.run, session.meter
    names = " and ".join(variant.name for variant in finalists)
    test = session.opened.split.test.open(run.test_openings_path, f"confirm {names}")
    confirmed: list[Confirmed] = []
    try:
        _answer_test(session, finalists, test, confirmed)
        with meter.stage(LATENCY):
            _time(session, confirmed, test[: session.plan.timed_calls])
    except BudgetSpent:
        pass  # what is missing stays unmeasured
    return confirmed


def _answer_test(
    session: Session,
    finalists: Sequence[Variant],
    test: Sequence[Example],
    confirmed: list[Confirmed],
) -> None:
    """The finalists answer the same rows in turn, block by block, until they are told apart.

    Each joins `confirmed` with its first answers, so that a spent budget leaves what was answered.
    """
    task = session.opened.task
    looking = Looking(
        test,
        task.metric,
        task.goals.quality,
        task.goals.smallest_difference,
        session.opened.clusters,
    )
    found = {variant.arm: Confirmed(variant, []) for variant in finalists}
    both = len(found) == 2
    for rows in looking.blocks() if both else [test]:
        block: dict[Arm, list[Record]] = {}
        for arm, each in found.items():
            with session.meter.stage(CONFIRMATION, arm):
                block[arm] = session.benches[arm].records(each.variant, "test", rows)
            if not each.records:
                confirmed.append(each)
            each.records += block[arm]
        if both:
            looking.add(block["prompt"], block["fine-tune"])
    for each in found.values():
        each.looked = looking.looked if both else None


def _time(session: Session, confirmed: Sequence[Confirmed], rows: Sequence[Example]) -> None:
    """Time the finalists in turn, a few rows each, so that a slow moment meets both.

    A budget that ends on the way leaves the latency of the calls that were timed.
    """
    timed: dict[Arm, list[Completion]] = {each.variant.arm: [] for each in confirmed}
    with suppress(BudgetSpent):  # the next stage meets it too
        for start in range(0, len(rows), _ROWS_IN_TURN):
            for each in confirmed:
                for row in rows[start : start + _ROWS_IN_TURN]:
                    call = session.benches[each.variant.arm].timed(each.variant, row)
                    timed[each.variant.arm] += [call] if call is not None else []
    for each in confirmed:
        if calls := timed[each.variant.arm]:
            answers = list(answered(each.records).values())
            each.latency = latency(calls, answers, session.opened.task.seed)


def score_on_test(
    session: Session, confirmed: Confirmed, agreement: Interval | None
) -> VariantScore:
    """All that was measured of a finalist, with its cost. `agreement` was measured on dev."""
    spec = session.benches[confirmed.variant.arm].spec
    score = _summary(session, confirmed.variant, "test", confirmed.records).model_copy(
        update={"latency": confirmed.latency, "agreement": agreement}
    )
    table = _label_table(session, confirmed.records)
    opened = session.opened
    cost = cost_of_1000_calls(
        score, spec, answered(confirmed.records), opened.clusters, opened.task.seed
    )
    return score.model_copy(
        update={
            "money_per_1000": cost.estimate if cost else None,
            "money_interval": cost,
            "label_table": table,
        }
    )


def _label_table(session: Session, records: Sequence[Record]) -> LabelTable | None:
    opened = session.opened
    output, outcomes = opened.task.output, scored(first_repeats(records))
    if output.kind != "label" or not outcomes:
        return None
    targets = {row.id: row.target for row in opened.examples}
    clusters = [opened.clusters[example] for example in outcomes]
    return label_table(outcomes, targets, output.labels, clusters, opened.task.seed)


def compare_finalists(session: Session, confirmed: Sequence[Confirmed]) -> Comparison | None:
    """The paired difference on the sealed test, fine-tune minus prompt."""
    by_arm = {each.variant.arm: each for each in confirmed}
    if len(by_arm) < 2:
        return None
    opened = session.opened
    found = compare(
        by_arm["prompt"].records,
        by_arm["fine-tune"].records,
        opened.task.metric,
        opened.clusters,
        opened.task.seed,
    )
    looked = by_arm["fine-tune"].looked
    return deciding(found, looked) if looked else found


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


def cases(session: Session, confirmed: Sequence[Confirmed]) -> tuple[Case, ...]:
    """Test rows where one finalist does clearly better, the widest gaps of each side first."""
    by_arm = {each.variant.arm: {r.example: r for r in each.records} for each in confirmed}
    if len(by_arm) < 2:
        return ()
    metric = session.opened.task.metric
    rows = {row.id: row for row in session.opened.examples}
    found = [
        _case(rows[example], record, by_arm["fine-tune"][example], metric)
        for example, record in by_arm["prompt"].items()
    ]
    gaps = [(case, _gap(case)) for case in found if _gap(case)]
    tune_wins = sorted((g for g in gaps if g[1] > 0), key=lambda g: -g[1])[:_WINS_SHOWN]
    prompt_wins = sorted((g for g in gaps if g[1] < 0), key=lambda g: g[1])[:_WINS_SHOWN]
    return tuple(case for case, _ in tune_wins + prompt_wins)


def _case(row: Example, prompt: Record, tuned: Record, metric: str) -> Case:
    def score(record: Record) -> float | None:
        return record.outcome.metrics[metric] if isinstance(record.outcome, Scored) else None

    def answer(record: Record) -> str:
        return record.completion.text if record.completion else "(no answer)"

    return Case(
        example=row.id,
        input=row.input,
        target=row.target,
        prompt_answer=answer(prompt),
        tune_answer=answer(tuned),
        prompt_score=score(prompt),
        tune_score=score(tuned),
    )


def _gap(case: Case) -> float:
    if case.prompt_score is None or case.tune_score is None:
        return 0.0
    return case.tune_score - case.prompt_score


def _score_on_dev(session: Session, variant: Variant, candidates: Candidates) -> VariantScore:
    records = session.benches[variant.arm].records(variant, "dev", session.opened.split.dev)
    score = _summary(session, variant, "dev", records)
    if variant.id not in {known.id for known in candidates.variants}:
        candidates.variants.append(variant)
        candidates.scores.append(score)
    return score


def _summary(
    session: Session, variant: Variant, split: SplitName, records: Sequence[Record]
) -> VariantScore:
    opened = session.opened
    return summarise(
        variant,
        split,
        records,
        opened.task.metric,
        opened.task.seed,
        clusters=opened.clusters,
        prompt_tokens=prompt_tokens(session.benches[variant.arm], variant, opened.split.dev),
    )
