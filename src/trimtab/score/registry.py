"""Finds the scorer of a task. Built-in scorers are registered like anyone else's."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from trimtab.errors import TaskError
from trimtab.score.base import Answered, RowScorer, Scorer, SingleRows
from trimtab.score.function import FunctionScorer, load_function
from trimtab.score.judge import Judge, JudgeScorer
from trimtab.task.scoring import scoring_problems
from trimtab.task.spec import Scoring, Task
from trimtab.types import Example, Failed, OutputContract, content_hash

_TRIED = 5

GROUP = "trimtab.scorers"
"""Entry points named by the contract's kind; each is a function `(OutputContract, Scoring) ->
Scorer`."""


def scorer_for(
    task: Task, folder: Path, judge: Judge | None = None, rows: Sequence[Example] = ()
) -> RowScorer:
    """The scorer whose results hold the task's metric, and all others that `scoring` asks for.

    Args:
        folder: where paths of the task file start.
        judge: the model of `scoring.judge`, needed where the task names one.
        rows: labelled rows, whose targets the user's function must be able to judge.

    Raises:
        TaskError: `scoring` cannot judge these outputs, a file that it names cannot be used, or
            not exactly one usable scorer is installed for the kind of output.
    """
    for place, problem in scoring_problems(task):
        raise TaskError(f"{'.'.join(map(str, place))}: {problem}")
    scoring = task.scoring
    scorer: RowScorer = SingleRows(kind_scorer(task.output, scoring))
    if scoring.function is not None:
        function, file = load_function(scoring.function, folder)
        scorer = FunctionScorer(scorer, task.output, function, file)
        _refuse_useless(scorer, rows[:_TRIED])
    if scoring.judge is not None:
        assert judge is not None
        scorer = JudgeScorer(scorer, judge, decides=task.metric == "judge")
    return scorer


def _refuse_useless(scorer: FunctionScorer, rows: Sequence[Example]) -> None:
    """A function that cannot judge one right answer would fail every call, after all were paid."""
    outcomes = scorer.score_rows([Answered(row.input, row.target, row.target) for row in rows])
    failed = [each.message for each in outcomes if isinstance(each, Failed)]
    if failed and len(failed) == len(rows):
        raise TaskError(
            f"scoring.function: it judges none of the first {len(rows)} rows, each with its own "
            f"target as the answer: {failed[0]}"
        )


def scoring_files(task: Task, folder: Path) -> dict[str, str]:
    """Hash of each file that the section `scoring` names, by its key.

    Raises:
        TaskError: a file cannot be read.
    """
    judge = task.scoring.judge
    named = {
        "scoring.function": task.scoring.function and task.scoring.function.rpartition(":")[0],
        "scoring.judge.reviews": judge and judge.reviews,
    }
    hashes = {}
    for key, path in named.items():
        if path:
            try:
                hashes[key] = content_hash((folder / path).read_bytes().hex())
            except OSError as error:
                raise TaskError(
                    f"{key}: {folder / path} cannot be read: {error.strerror}; "
                    "the path is relative to the task file"
                ) from error
    return hashes


def kind_scorer(output: OutputContract, scoring: Scoring) -> Scorer:
    """The installed scorer of this kind of output.

    Raises `TaskError` when not exactly one usable scorer is installed for it.
    """
    found = tuple(entry_points(group=GROUP, name=output.kind))
    if not found:
        known = ", ".join(sorted(entry_points(group=GROUP).names)) or "none"
        raise TaskError(
            f"output.kind: no scorer is installed for {output.kind!r} (installed: {known}); "
            "install trimtab with pip, so that its entry points are registered"
        )
    if len(found) > 1:
        values = ", ".join(point.value for point in found)
        raise TaskError(
            f"output.kind: several scorers claim {output.kind!r} ({values}); "
            "uninstall all packages but one of them"
        )
    try:
        factory = found[0].load()
    except (ImportError, AttributeError) as problem:
        raise TaskError(
            f"output.kind: the scorer {found[0].value!r} for {output.kind!r} cannot be loaded "
            f"({problem}); reinstall the package that provides it"
        ) from problem
    return cast(Scorer, factory(output, scoring))
