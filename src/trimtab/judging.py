"""What the task's judge model says beside its scores: how far it agrees with people, and whose
answers it prefers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from trimtab.compare.kappa import weighted_kappa
from trimtab.compare.preference import preference
from trimtab.errors import BudgetSpent
from trimtab.measure.meter import JUDGING
from trimtab.measure.session import Session
from trimtab.score.judge import Judge, Pair
from trimtab.score.reviews import Review, graded_reviews, read_reviews
from trimtab.types import Arm, Comparison, Completion, JudgeAgreement, Record, Scored


def judge_agreement(session: Session) -> JudgeAgreement | None:
    """How far the judge agrees with the reviews that the task names.

    None where it names none, or where the budget ends first.
    """
    judge, opened = session.judge, session.opened
    if judge is None or judge.spec.reviews is None:
        return None
    reviews = read_reviews(opened.folder / judge.spec.reviews, judge.spec.grades)
    with session.meter.stage(JUDGING):
        try:
            return agreement(judge, reviews, opened.task.seed)
        except BudgetSpent:
            return None


def agreement(judge: Judge, reviews: Sequence[Review], seed: int = 0) -> JudgeAgreement:
    """Kappa of the judge's combined votes and the reviews' grades; answers to one input are one
    cluster."""
    pairs, inputs = [], []
    for each in graded_reviews(judge, reviews):
        score = judge.score(each.graded)
        if score is not None:
            pairs.append((float(each.review.score), 1 + score * (judge.spec.grades - 1)))
            inputs.append(each.review.input)
    equal = [abs(human - model) < 0.5 for human, model in pairs]
    return JudgeAgreement(
        model=judge.engine.model_id,
        kappa=weighted_kappa(pairs, inputs, seed),
        equal=sum(equal) / len(equal) if equal else None,
        lost=len(reviews) - len(pairs),
    )


def judge_preference(
    session: Session, records: Mapping[Arm, Sequence[Record]]
) -> Comparison | None:
    """Whose test answers the judge prefers, the fine-tune's or the prompt's.

    None without a judge or without both arms, or where the budget ends first. An answer that
    breaks the contract loses to one that keeps it, and ties with another.
    """
    judge, opened = session.judge, session.opened
    if judge is None or len(records) < 2:
        return None
    sides = {arm: {r.example: r for r in found} for arm, found in records.items()}
    rows = {row.id: row for row in opened.examples}
    choices: dict[str, float | None] = {}
    asked: dict[str, Pair] = {}
    for example, record in sides["prompt"].items():
        ours, theirs = _answer(record), _answer(sides["fine-tune"].get(example))
        if ours is None or theirs is None:
            continue
        if not (ours[1] and theirs[1]) or ours[0] == theirs[0]:
            choices[example] = float(theirs[1]) - float(ours[1])
        else:
            row = rows[example]
            asked[example] = Pair(row.input, row.target, ours[0], theirs[0])
    with session.meter.stage(JUDGING):
        try:
            choices |= zip(asked, judge.prefer(list(asked.values())), strict=True)
        except BudgetSpent:
            return None
    a, b = (records[arm][0].variant for arm in ("prompt", "fine-tune"))
    return preference(a, b, choices, opened.clusters, opened.task.seed)


def _answer(record: Record | None) -> tuple[str, bool] | None:
    """The text and whether it is valid; None where the call or its judging failed."""
    if record is None or not isinstance(record.outcome, Scored):
        return None
    assert isinstance(record.completion, Completion)
    return record.completion.text, record.outcome.valid
