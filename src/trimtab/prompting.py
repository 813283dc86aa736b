"""The prompt arm of a session: its search on dev, and other layouts of its best prompt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from trimtab.compare.layouts import sensitivity
from trimtab.compare.plateau import plateau
from trimtab.engine.registry import make_engine
from trimtab.errors import BudgetSpent
from trimtab.measure.bench import call_price
from trimtab.measure.plan import (
    CONFIRMATION,
    FEWEST_LAYOUT_ROWS,
    LAYOUT_SHARE,
    LAYOUTS,
    MOST_LAYOUT_ROWS,
    PROMPTS,
)
from trimtab.measure.session import Session
from trimtab.prompt.optimise import Proposals, Workshop, make_optimiser
from trimtab.prompt.race import RACE_ERROR, Race
from trimtab.prompt.recipe import Recipe
from trimtab.prompt.search import AUTOMATIC, Course, Share
from trimtab.prompt.styles import styled, styles_of
from trimtab.types import (
    Completion,
    Decoding,
    Example,
    Message,
    Record,
    Request,
    Scored,
    Searched,
    Sensitivity,
    Variant,
)

OVERRUN = 0.1
"""Share of the arm's seconds that a prompt may take besides, where it leads as they end, to see its
last rows: lost half way, it would leave the prompt arm worse than it is, and seem exhausted."""
REFLECTION_TOKENS = 2048
"""Limit of what the reflection model writes: instructions, and the thoughts before them."""


@dataclass(frozen=True)
class Found:
    """What the search measured: candidates that saw all dev rows, and those that did not."""

    searched: Searched
    finished: tuple[Variant, ...]
    stopped: tuple[Variant, ...]


def search(session: Session) -> Found:
    """Race prompts on dev within the arm's share of the budget; a spent budget ends it in order.

    Raises `TaskError` where the automatic search that the task names cannot run.
    """
    task, meter, limit = session.opened.task, session.meter, session.plan.arm_seconds
    name = task.search.optimiser or ("gepa" if task.search.reflection else "mutations")
    optimiser = make_optimiser(name, _workshop(session))
    proposals = Proposals(optimiser, session.run.folder / "proposals.jsonl")
    race, course = _race(session), Course()
    with meter.stage(PROMPTS, "prompt", limit):
        stopped_by = meter.stopped_by
        try:
            session.search.run(race, course, proposals.next, _share(session))
        except BudgetSpent as spent:
            if course.complete and not meter.run_spent:
                meter.stopped_by = stopped_by  # the open end of the search may use up its share
                course.notes.append(f"the search ended with its budget ({spent})")
    leading = race.unfinished_leader
    if leading is not None and not meter.run_spent:
        with meter.optional(), meter.stage(PROMPTS, "prompt", (1 + OVERRUN) * limit):
            race.finish(leading)
            course.notes.append(f"{leading.variant.name} led as the share ended, and went on")
    if any(entry.stage == AUTOMATIC for entry in race.entries):
        why = "search.optimiser asks for it" if task.search.optimiser else _WHY[name]
        course.notes.append(f"automatic search by {name}: {why}")
    return Found(
        _searched(session, race, course),
        tuple(each.variant for each in race.entries if each.finished),
        tuple(each.variant for each in race.entries if not each.finished),
    )


_WHY = {
    "gepa": "the task names a reflection model",
    "mutations": "the task names no reflection model (search.reflection)",
}


def other_layouts(session: Session, winner: Variant) -> Sensitivity | None:
    """Score the winner's prompt in other layouts, as the stage's share allows; None without one."""
    bench, dev = session.benches["prompt"], session.opened.split.dev
    (planned,) = [stage for stage in session.plan.stages if stage.stage == LAYOUTS]
    others = [style for style in styles_of(winner) if style != winner.prompt.style]
    each = sum(_seconds(session, r) for r in bench.records(winner, "dev", dev)) / len(dev)
    calls = planned.seconds / each if each > 0 else 0.0
    rows = sorted(dev, key=lambda row: row.id)[:MOST_LAYOUT_ROWS]
    fitting = max(FEWEST_LAYOUT_ROWS, int(calls / len(others))) if others else 0
    rows = rows[:fitting]
    scores: dict[str, dict[str, float | None]] = {}
    limit = LAYOUT_SHARE * session.opened.task.budget.seconds
    with session.meter.optional(), session.meter.stage(LAYOUTS, "prompt", limit):
        for style in (winner.prompt.style, *others[: int(calls / max(len(rows), 1))]):
            scores[style] = _scores(session, styled(winner, style), rows)
    return sensitivity(scores, 1 + len(others)) if len(scores) > 1 else None


def _share(session: Session) -> Share:
    """Where demonstrations are more than planned, the sealed test takes as many times as long."""
    planned, plan = session.search.dearest().nearest, session.plan
    (test,) = (stage for stage in plan.stages if stage.key == (CONFIRMATION, "prompt"))

    def share(nearest: int) -> float:
        longer = nearest / planned - 1 if nearest > planned > 0 else 0.0
        return plan.arm_seconds - longer * test.seconds

    return share


def _race(session: Session) -> Race:
    task, bench = session.opened.task, session.benches["prompt"]

    def measure(variant: Variant, rows: Sequence[Example]) -> Sequence[Record]:
        return bench.records(variant, "dev", rows)

    return Race(
        session.opened.split.dev,
        task.metric,
        measure,
        session.search.kitchen.cook,
        lambda record: _seconds(session, record),
        task.seed,
    )


def _searched(session: Session, race: Race, course: Course) -> Searched:
    task, finished = session.opened.task, [each for each in race.entries if each.finished]
    return Searched(
        trials=race.trials(),
        complete=course.complete,
        notes=tuple(course.notes),
        error=RACE_ERROR,
        headroom=course.headroom,
        calls=race.calls,
        calls_of_grid=race.calls_of_grid,
        plateau=plateau(
            [each.scores for each in finished],
            [each.seconds for each in finished],
            race.seconds,
            task.goals.smallest_difference,
            session.opened.clusters,
            task.seed,
            unfinished=leading.variant.name if (leading := race.unfinished_leader) else None,
        ),
    )


def _seconds(session: Session, record: Record) -> float:
    """What an answer takes at the calibrated speed, which no neighbour and no cache changes."""
    rates, answer = session.plan.rates["prompt"], record.completion
    if answer is None:
        return 0.0
    read = answer.tokens_in - answer.tokens_cached
    return read / rates.prefill + answer.tokens_out / rates.decode


def _scores(session: Session, variant: Variant, rows: Sequence[Example]) -> dict[str, float | None]:
    metric = session.opened.task.metric
    return {
        record.example: outcome.metrics[metric]
        if isinstance(outcome := record.outcome, Scored)
        else None
        for record in session.benches["prompt"].records(variant, "dev", rows)
    }


def _workshop(session: Session) -> Workshop:
    kitchen, bench = session.search.kitchen, session.benches["prompt"]

    def answer(recipe: Recipe, rows: Sequence[Example]) -> Sequence[Record]:
        return bench.records(kitchen.cook(recipe), "train", rows)

    return Workshop(kitchen, session.opened.task.seed, answer, _reflection(session))


def _reflection(session: Session) -> Callable[[str], str | None] | None:
    """One text to the reflection model: booked, cached, and checked against the budget."""
    spec, meter = session.opened.task.search.reflection, session.meter
    if spec is None:
        return None
    engine, cache = make_engine(spec, lambda line: None), session.benches["prompt"].cache

    def reflect(text: str) -> str | None:
        asked = Request(
            messages=(Message(role="user", content=text),),
            decoding=Decoding(max_tokens=REFLECTION_TOKENS),
        )
        key = cache.key(engine, asked, None)
        kept = cache.get(key)
        if kept is not None:
            return kept.text
        meter.check()
        ((_, answer),) = engine.generate([asked])
        if not isinstance(answer, Completion):
            meter.book(calls=answer.attempts)
            return None
        cache.put(key, answer)
        meter.book(
            calls=answer.attempts,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            money=call_price(spec, answer),
        )
        return answer.text

    return reflect
