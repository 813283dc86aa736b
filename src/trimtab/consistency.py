"""Asks the finalists again on dev, with differences that should not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from trimtab.compare.consistency import Asked, Told, consistency, told
from trimtab.compare.summary import agreement
from trimtab.measure.bench import Bench
from trimtab.measure.consistency import (
    CONSISTENCY,
    CONSISTENCY_SHARE,
    calls_for,
    copied,
    forms,
    layouts,
    samples,
    sizes,
)
from trimtab.measure.session import Session
from trimtab.seeds import Replica
from trimtab.store.files import write_atomic
from trimtab.types import Arm, Consistency, Interval, Noun, Record, Source, Spent, Variant

_SLACK = 1.5
"""Times the planned seconds that it may take, where that is more than its share of the budget: the
winner may be dearer than the prompt that was planned for."""
_STEP_SLACK = 1.25
"""Times what the next size is expected to take that must be there before it begins."""

Records = Mapping[str, Sequence[Record]]
"""By the name of a variation, with the ids of the rows that were asked."""


@dataclass(frozen=True)
class Again:
    """What came of it. `agreement` is the share of a row's sampled answers that equal each other,
    of each finalist that was sampled."""

    consistency: Consistency | None
    agreement: Mapping[Arm, Interval]


@dataclass
class Answers:
    """One finalist's: to its rows as they are, and with one thing varied; a source is whole or not
    there."""

    variant: Variant
    first: Sequence[Record] = ()
    varied: dict[Source, Records] = field(default_factory=dict)


class Step(Noun):
    """A size that was begun."""

    rows: int
    variations: int
    left: Spent
    """Of the budget, when it began."""
    until: float
    """Seconds of the whole run up to which it may go on."""

    @property
    def calls(self) -> int:
        return calls_for((self.rows, self.variations))


class Walk(Noun):
    """`asked_again.json`: the sizes in their order, so that a resumed run asks the same."""

    steps: tuple[Step, ...] = ()
    ended: bool = False


def ask_again(session: Session, finalists: Sequence[Variant], later: Spent) -> list[Answers]:
    """Sample the finalists, change their inputs and their layouts: on the least size, then on
    larger ones as long as the budget pays for the next and leaves `later` to other stages.

    The answers are those of the largest size that was finished.
    """
    found: list[Answers] = []
    with session.meter.optional():
        for step in _steps(session, later) if finalists else ():
            answers = [Answers(variant) for variant in finalists]
            found = found or answers  # the least size counts as far as it got
            _ask(session, answers, step)
            found = answers
    return found


def steadiness(
    session: Session, found: Sequence[Answers], replicas: Sequence[Replica] = ()
) -> Again:
    """What the answers tell; the answers of `replicas` of the fine-tune are a source beside."""
    opened = session.opened
    task, dev = opened.task, opened.split.dev
    changed = {row.id for row in dev if copied(row, task.output)}
    asked = [_asked(each, _varied(each, replicas), task.metric, changed) for each in found]
    return Again(
        consistency(asked, len(dev), opened.clusters, task.seed),
        {
            each.variant.arm: agreement(
                [r for part in drawn.values() for r in part], opened.clusters, task.seed
            )
            for each in found
            if (drawn := each.varied.get("sample"))
        },
    )


def _steps(session: Session, later: Spent) -> Iterator[Step]:
    """The sizes that earlier sittings began, then the next ones as far as they are affordable."""
    path, meter = session.run.folder / "asked_again.json", session.meter
    walk = Walk.model_validate_json(path.read_bytes()) if path.exists() else Walk()
    yield from walk.steps
    for rows, variations in sizes(len(session.opened.split.dev))[len(walk.steps) :]:
        left = meter.left
        step = Step(
            rows=rows,
            variations=variations,
            left=left,
            until=_until(session, later, first=not walk.steps),
        )
        if walk.ended or not _affordable(walk.steps, step, later):
            break
        walk = Walk(steps=(*walk.steps, step))
        write_atomic(path, walk.model_dump_json() + "\n")
        session.note(f"asking again on {rows} dev rows, {variations} times in each way")
        yield step
    write_atomic(path, walk.model_copy(update={"ended": True}).model_dump_json() + "\n")


def _until(session: Session, later: Spent, *, first: bool) -> float:
    """The least size was planned, so it may go on where nothing is left for later stages."""
    budget = session.opened.task.budget.seconds
    spare = budget - later.seconds
    if not first:
        return spare
    planned = sum(stage.seconds for stage in session.plan.stages if stage.stage == CONSISTENCY)
    share = max(_SLACK * planned, CONSISTENCY_SHARE * budget)
    return max(spare, session.meter.seconds + share)


def _affordable(before: Sequence[Step], step: Step, later: Spent) -> bool:
    """Whether what is left pays for the step, at what the last one took for each call."""
    if not before:
        return True
    last = before[-1]
    done = last.calls - (before[-2].calls if len(before) > 1 else 0)
    times = _STEP_SLACK * (step.calls - last.calls) / done

    def fits(then: float, now: float, kept: float) -> bool:
        return times * (then - now) <= now - kept

    return (
        fits(last.left.seconds, step.left.seconds, later.seconds)
        and fits(last.left.calls, step.left.calls, later.calls)
        and fits(last.left.money, step.left.money, later.money)
    )


def _ask(session: Session, found: Sequence[Answers], step: Step) -> None:
    """Source by source, both finalists in turn. Raises `BudgetSpent`."""
    seed = session.opened.task.seed
    rows = sorted(session.opened.split.dev, key=lambda row: row.id)[: step.rows]
    count = step.variations
    ways: dict[Source, Callable[[Bench, Variant], Records]] = {
        "sample": lambda bench, variant: samples(bench, variant, rows, count),
        "input": lambda bench, variant: forms(bench, variant, rows, count, seed),
        "format": lambda bench, variant: layouts(bench, variant, rows, count),
    }
    for source, ask in ways.items():
        for each in found:
            bench = session.benches[each.variant.arm]
            with session.meter.stage(CONSISTENCY, each.variant.arm, until=step.until):
                each.first = each.first or bench.records(each.variant, "dev", rows)
                if records := ask(bench, each.variant):
                    each.varied[source] = records


def _varied(found: Answers, replicas: Sequence[Replica]) -> dict[Source, Records]:
    if found.variant.arm == "prompt" or not replicas:
        return found.varied
    ids = {record.example for record in found.first}
    of_seeds = {
        replica.name: [record for record in replica.records if record.example in ids]
        for replica in replicas
    }
    return {**found.varied, "seed": of_seeds}


def _asked(
    found: Answers, varied: Mapping[Source, Records], metric: str, changed: set[str]
) -> Asked:
    """Where the input changes, `changed` rows have no score: their target is no longer right."""

    def loosely(records: Sequence[Record]) -> dict[str, Told]:
        return told(records, metric, loose=True, unscored=changed)

    return Asked(
        variant=found.variant,
        first=told(found.first, metric),
        loose_first=loosely(found.first),
        varied={
            source: {
                name: loosely(records) if source == "input" else told(records, metric)
                for name, records in parts.items()
            }
            for source, parts in varied.items()
        },
    )
