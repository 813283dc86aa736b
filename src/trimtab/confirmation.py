"""The finalists meet the sealed test: once, in turn, until they are told apart."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from trimtab.compare.labels import label_table
from trimtab.compare.latency import latency
from trimtab.compare.looking import Looking
from trimtab.compare.paired import compare
from trimtab.compare.records import answered, first_repeats, scored
from trimtab.compare.sequential import deciding
from trimtab.decide.cost import cost_of_1000_calls
from trimtab.errors import BudgetSpent
from trimtab.measure.plan import CONFIRMATION, FEWEST_TIMED, LATENCY
from trimtab.measure.session import Session
from trimtab.scores import score_of
from trimtab.spare import after_latency
from trimtab.types import (
    Arm,
    Case,
    Comparison,
    Completion,
    Example,
    Interval,
    LabelTable,
    Latency,
    Record,
    Scored,
    Sequential,
    Variant,
    VariantScore,
)

_WINS_SHOWN = 12
_ROWS_IN_TURN = 5


@dataclass
class Confirmed:
    """What the winner of one arm did on the sealed test."""

    variant: Variant
    records: list[Record]
    latency: Latency | None = None
    looked: Sequential | None = None
    """How the comparison with the other finalist went, where it was looked at on the way."""


def confirm(session: Session, finalists: Sequence[Variant]) -> list[Confirmed]:
    """The winners meet the sealed test once; then latency, as the budget allows.

    Without a winner the test stays sealed.
    """
    if not finalists:
        return []
    run = session.run
    names = " and ".join(variant.name for variant in finalists)
    test = session.opened.split.test.open(run.test_openings_path, f"confirm {names}")
    confirmed: list[Confirmed] = []
    try:
        _answer_test(session, finalists, test, confirmed)
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

    A budget that ends on the way leaves the latency of the calls that were timed. Calls beyond the
    fewest take nothing of what later stages need.
    """
    timed: dict[Arm, list[Completion]] = {each.variant.arm: [] for each in confirmed}

    def call(some: Sequence[Example]) -> None:
        for start in range(0, len(some), _ROWS_IN_TURN):
            for each in confirmed:
                for row in some[start : start + _ROWS_IN_TURN]:
                    answer = session.benches[each.variant.arm].timed(each.variant, row)
                    timed[each.variant.arm] += [answer] if answer is not None else []

    meter = session.meter
    kept = after_latency(session, [each.variant for each in confirmed])
    with suppress(BudgetSpent), meter.stage(LATENCY):  # the next stage meets it too
        call(rows[:FEWEST_TIMED])
    until = session.opened.task.budget.seconds - kept.seconds
    with meter.optional(), meter.stage(LATENCY, until=until):
        call(rows[FEWEST_TIMED:])
    for each in confirmed:
        if calls := timed[each.variant.arm]:
            answers = list(answered(each.records).values())
            each.latency = latency(calls, answers, session.opened.task.seed)


def score_on_test(
    session: Session, confirmed: Confirmed, agreement: Interval | None
) -> VariantScore:
    """All that was measured of a finalist, with its cost. `agreement` was measured on dev."""
    spec = session.benches[confirmed.variant.arm].spec
    score = score_of(session, confirmed.variant, "test", confirmed.records).model_copy(
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


def cases(session: Session, confirmed: Sequence[Confirmed]) -> tuple[Case, ...]:
    """Test rows where one finalist does clearly better, the widest gaps of each side first. A spent
    budget may leave rows that one of them did not answer."""
    by_arm = {each.variant.arm: {r.example: r for r in each.records} for each in confirmed}
    if len(by_arm) < 2:
        return ()
    metric = session.opened.task.metric
    rows = {row.id: row for row in session.opened.examples}
    found = [
        _case(rows[example], record, by_arm["fine-tune"][example], metric)
        for example, record in by_arm["prompt"].items()
        if example in by_arm["fine-tune"]
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
