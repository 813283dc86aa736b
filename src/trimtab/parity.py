"""Whether what answers is the fine-tune that was measured, from the same rows asked of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from trimtab.compare.intervals import difference_interval
from trimtab.errors import InputError, RunError
from trimtab.predictor import Predictor, load
from trimtab.score.base import Answered, SingleRows
from trimtab.score.registry import kind_scorer
from trimtab.store.data_versions import read_version
from trimtab.store.files import read_records, write_atomic
from trimtab.store.run import read_info
from trimtab.task.open import open_task
from trimtab.task.spec import METRICS, Task
from trimtab.task.split import Split
from trimtab.types import (
    HOSTED_FILE,
    Completion,
    Example,
    Failed,
    Interval,
    Noun,
    Scored,
    SplitName,
    Variant,
)

if TYPE_CHECKING:
    from trimtab.measure.session import Session

ROWS = 50
"""Rows that are asked of both."""
ALIKE = 0.9
"""Share of equal texts from which two sides are the same, if their scores are as well. Trimtab's
choice: rounding turns near-ties in a few answers of a hundred, broken weights most answers."""
SERVED = "adapter"
"""What `trimtab serve` loads: the adapter's own file, beside its base."""
STAGE = "parity"
_FOLDER = "parity"
_SPLITS: tuple[SplitName, ...] = ("dev", "train")


class Parity(Noun):
    """Whether a fine-tune in some form does what was measured."""

    form: str
    """`adapter`, as it is served, or a form of export."""
    variant: str
    rows: int
    equal: int
    """Rows with the same text, or for training rows with the same tokens."""
    metric: str | None = None
    measured: float | None = None
    exported: float | None = None
    """Mean scores of the fine-tune as it was measured, and of the form."""
    difference: Interval | None = None
    """Paired, form minus measured."""
    passed: bool
    statement: str


Prove = Callable[[Path, Variant], None]
"""Takes a run's folder and a variant of it; raises `RunError` where it may not serve."""


def rows_to_ask(split: Split) -> list[Example]:
    """The dev rows, and training rows where these are too few. The sealed test stays out of it."""
    return [*split.dev, *split.train][:ROWS]


def compare_answers(
    form: str,
    variant: Variant,
    task: Task,
    rows: Sequence[Example],
    measured: Sequence[Completion | Failed],
    found: Sequence[Completion | Failed],
    *,
    same_texts: bool,
) -> Parity:
    """`found` beside `measured`, an answer to each of `rows`.

    With `same_texts` every text must be equal. Else every row must be answered, and either the
    interval of the paired difference in score lies within the smallest difference that matters, or
    ALIKE of the texts are equal and the difference as measured is no larger than that.
    """
    equal = sum(_text(a) == _text(b) for a, b in zip(measured, found, strict=True))
    metric, before = _scores(task, rows, measured)
    _, after = _scores(task, rows, found)
    pairs = [(a, b) for a, b in zip(before, after, strict=True) if a is not None and b is not None]
    difference = difference_interval([b - a for a, b in pairs])
    statement = f"{equal} of {len(rows)} answers are equal"
    if not same_texts:
        statement += (
            f"; {metric} differs by {_signed(difference.estimate)} "
            f"({_signed(difference.low)} to {_signed(difference.high)})"
        )
    near = near_enough(equal, len(rows), difference, task.goals.smallest_difference)
    return Parity(
        form=form,
        variant=variant.id,
        rows=len(rows),
        equal=equal,
        metric=metric,
        measured=_mean([a for a, _ in pairs]),
        exported=_mean([b for _, b in pairs]),
        difference=difference,
        passed=equal == len(rows) if same_texts else len(pairs) == len(rows) and near,
        statement=statement,
    )


def near_enough(equal: int, rows: int, difference: Interval, least: float) -> bool:
    """Whether a loss or gain of `least` is excluded, or nearly all texts and the scores agree.

    An interval that merely holds 0 shows nothing: the fewer the rows, the more often it does.
    """
    estimate, low, high = difference.estimate, difference.low, difference.high
    if estimate is None:
        return False
    excluded = low is not None and high is not None and -least <= low and high <= least
    return excluded or (equal >= ALIKE * rows and abs(estimate) <= least)


def prove_winner(session: Session, winner: Variant | None) -> None:
    """Read the winning adapter from the disk again, and ask it rows whose answers the run holds.

    Nothing where the winner has no weights here, or where the budget is spent: then promoting it
    does this.
    """
    folder = session.run.folder
    if winner is None or not _has_weights(folder, winner) or session.tuner is None:
        return
    bench, split = session.benches[winner.arm], session.opened.split
    pool = bench.pool if winner.prompt.nearest else None
    served = Predictor(winner, session.opened.task, folder, session.tuner, pool)
    with session.meter.optional(), session.meter.stage(STAGE, winner.arm):
        session.meter.check()
        bench.records(winner, "train", rows_to_ask(split)[len(split.dev) :])
        session.meter.check()
        session.tuner.forget_adapters()
        found = _as_served(served, session.opened.examples)
        session.meter.book(calls=found.rows)
        _keep(folder, found)


def require_parity(
    run: Path, variant: Variant, progress: Callable[[str], None] = lambda _: None
) -> None:
    """Let a variant through whose adapter, read from the disk, answers as the run measured; what
    was not compared yet is compared now. One without weights here has nothing to compare.

    Raises `RunError` where it does not, or no answer is left to compare with.
    """
    if not _has_weights(run, variant):
        return
    if _kept(run, variant) is None:
        progress(f"asking {variant.name} the rows that it was measured on")
        predictor = load(run, progress, variant_id=variant.id)
        _keep(run, _as_served(predictor, _rows_of(run, predictor.task)))
    refuse_unproven(run, variant)


def refuse_unproven(run: Path, variant: Variant) -> None:
    """As `require_parity`, without asking the model: what was not compared yet is refused too."""
    if not _has_weights(run, variant):
        return
    found = _kept(run, variant)
    if found is None:
        raise RunError(
            f"whether {variant.name} of {run.name} answers as it was measured was not compared "
            f"yet: `trimtab promote {run} --reason WHY` does that, and promotes it"
        )
    if not found.passed:
        raise RunError(
            f"{variant.name} of {run.name} does not answer as it was measured: {found.statement} "
            f"({_place(run, variant.id)}); decide again, or bring back the machine and the "
            "packages that it was measured with and remove that file"
        )


def _as_served(predictor: Predictor, examples: Sequence[Example]) -> Parity:
    """The predictor's answers beside those that its run holds."""
    recorded = list(_recorded(predictor, {row.id: row for row in examples}))[:ROWS]
    if not recorded:
        raise RunError(
            f"{predictor.folder} holds no answers of {predictor.variant.name} to compare with; "
            "decide again"
        )
    rows = [row for row, _ in recorded]
    return compare_answers(
        SERVED,
        predictor.variant,
        predictor.task,
        rows,
        [answer for _, answer in recorded],
        predictor.answer_many(rows),
        same_texts=False,
    )


def _recorded(
    predictor: Predictor, examples: dict[str, Example]
) -> Iterator[tuple[Example, Completion]]:
    """Rows with their answers, dev rows first."""
    for split in _SPLITS:
        path = predictor.folder / "records" / f"{predictor.variant.id}-{split}.jsonl"
        for record in read_records(path):
            answer, row = record.completion, examples.get(record.example)
            if record.repeat == 0 and answer is not None and row is not None:
                yield row, answer


def _rows_of(run: Path, task: Task) -> Sequence[Example]:
    """The rows that the run was decided with; today's where these were not kept."""
    folder = run.resolve().parent.parent
    try:
        return read_version(folder, read_info(run).identity["data"], task.output)
    except InputError:
        return open_task(folder).examples


def _has_weights(run: Path, variant: Variant) -> bool:
    """Whether an adapter of the variant is here. One that an endpoint keeps is not read from here:
    the same model answers there."""
    adapter = variant.adapter
    return adapter is not None and not (run / adapter.path / HOSTED_FILE).exists()


def _place(run: Path, variant_id: str) -> Path:
    return run / _FOLDER / f"{variant_id}.json"


def _keep(run: Path, found: Parity) -> None:
    path = _place(run, found.variant)
    path.parent.mkdir(exist_ok=True)
    write_atomic(path, found.model_dump_json(indent=2) + "\n")


def _kept(run: Path, variant: Variant) -> Parity | None:
    path = _place(run, variant.id)
    try:
        return Parity.model_validate_json(path.read_bytes()) if path.exists() else None
    except ValidationError as error:
        raise RunError(f"{path} is damaged; remove it, and promote again") from error


def _scores(
    task: Task, rows: Sequence[Example], answers: Sequence[Completion | Failed]
) -> tuple[str, list[float | None]]:
    """The metric and each answer's score; None where there is no answer to judge.

    By the task's own metric, or by its kind's first where that needs more than answer and target.
    """
    scorer = SingleRows(kind_scorer(task.output, task.scoring))
    texts = [_text(answer) for answer in answers]
    judged = scorer.score_rows(
        [Answered(row.input, row.target, text or "") for row, text in zip(rows, texts, strict=True)]
    )
    outcomes = [
        outcome if text is not None and isinstance(outcome, Scored) else None
        for text, outcome in zip(texts, judged, strict=True)
    ]
    known = {name for outcome in outcomes if outcome for name in outcome.metrics}
    metric = task.metric if task.metric in known else METRICS[task.output.kind][0]
    return metric, [outcome.metrics[metric] if outcome else None for outcome in outcomes]


def _text(answer: Completion | Failed) -> str | None:
    return answer.text if isinstance(answer, Completion) else None


def _signed(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.3f}"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
