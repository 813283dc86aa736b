"""`trimtab judge`: may a judge model's scores decide?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trimtab.score.reviews import Review
    from trimtab.task.spec import JudgeSpec


def judge(
    task: Annotated[Path, typer.Argument(help="The task folder, or its task.yaml.")],
    bundled: Annotated[
        bool, typer.Option("--bundled", help="Use the reviews that come with Trimtab.")
    ] = False,
) -> None:
    """Hold the task's judge model against people's grades of the same answers."""
    from trimtab.decide.judge import agreement_status
    from trimtab.engine.cache import RequestCache, default_cache_path
    from trimtab.engine.registry import make_engine
    from trimtab.judging import agreement
    from trimtab.measure.judging import Tally
    from trimtab.score.judge import Judge
    from trimtab.task.load import load_task

    settings = load_task(task)
    folder = task if task.is_dir() else task.parent
    spec, reviews = _asked(settings.scoring.judge, folder, bundled)
    engine = make_engine(spec.model, lambda text: typer.echo(text, err=True))
    tally, cache = Tally(spec.model), RequestCache(default_cache_path())
    try:
        found = agreement(Judge(spec, engine, cache, tally), reviews, settings.seed)
    finally:
        cache.close()
    said = {
        "pass": "Its scores may decide.",
        "fail": "Its scores may not decide: try another model or rubric.",
        "unknown": "Too unsure to let its scores decide: give it more reviews.",
    }
    kappa = found.kappa
    bounds = [
        "undefined" if bound is None else f"{bound:.2f}"
        for bound in (kappa.estimate, kappa.low, kappa.high)
    ]
    typer.echo(f"Judge: {found.model}")
    typer.echo(f"Kappa: {bounds[0]} (95%: {bounds[1]} to {bounds[2]}), on {kappa.n} reviews")
    if found.equal is not None:
        typer.echo(f"Same grade: {found.equal:.0%}")
    typer.echo(f"Grades that could not be read: {found.lost} of {len(reviews)} reviews")
    spent = tally.spent
    typer.echo(f"Calls: {spent.calls:,}; money: {spent.money:g} {settings.currency}")
    typer.echo(said[agreement_status(found)])


def _asked(spec: JudgeSpec | None, folder: Path, bundled: bool) -> tuple[JudgeSpec, list[Review]]:
    """The judge, with the rubric that the reviews were graded by, and the reviews."""
    from trimtab.errors import TaskError
    from trimtab.score.reviews import (
        BUNDLED_GRADES,
        BUNDLED_RUBRIC,
        bundled_reviews,
        read_reviews,
    )

    if spec is None:
        raise TaskError(f"{folder}: the task names no judge; add scoring.judge to its task.yaml")
    if bundled:
        changes = {"rubric": BUNDLED_RUBRIC, "grades": BUNDLED_GRADES}
        return spec.model_copy(update=changes), bundled_reviews()
    if spec.reviews is None:
        raise TaskError(
            f"{folder}: scoring.judge names no reviews; name a file of people's grades, or try the "
            "judge on Trimtab's own with --bundled"
        )
    return spec, read_reviews(folder / spec.reviews, spec.grades)
