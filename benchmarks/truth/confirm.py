"""Full runs that confirm the replay: teams whose decision is made for real.

A team gets rows that are not in the pool, and Trimtab decides on them with the default model, as
for anyone. Then both finalists answer all rows of the pool, which tells how good they truly are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from benchmarks.truth.pools import Pool, home
from benchmarks.truth.teams import Team, draw_team, tell
from benchmarks.truth.verdicts import Truth, holds, truth
from benchmarks.truth.world import World

from trimtab import pipeline
from trimtab.compare.paired import compare
from trimtab.compare.summary import summarise
from trimtab.measure.meter import Progress
from trimtab.predictor import load
from trimtab.score.base import Answered, as_rows
from trimtab.score.registry import scorer_for
from trimtab.store.files import append, read_records, write_atomic
from trimtab.task.spec import Budget, DataSpec, Search
from trimtab.types import Completion, Decision, Interval, Record, Variant

ROWS = (100, 150, 200)
"""Teams with more rows take too long."""
RATES = (1e-3, 3e-3)
"""Learning rates of the full runs, one epoch each, as recorded."""
WORDS = ("fine-tune", "prompt", "collect-data")
"""Teams for whom these are right are confirmed in turn."""


@dataclass(frozen=True)
class Confirmed:
    """A full run beside what the records say of the same team."""

    team: Team
    right: Truth
    replayed: str
    """What the replay told this team. It had other rows."""
    decision: Decision
    truths: Mapping[str, Interval | None]
    """Of each interval of the run by name: the same on all rows of the pool."""

    def lines(self) -> Iterator[str]:
        team, verdict = self.team, self.decision.verdict
        right = " or ".join(sorted(self.right.words))
        yield (
            f"team {team.number}, {team.rows} rows, goal {team.goal:g}, smallest difference "
            f"{team.least:g}, {team.calls:,.0f} calls a month, {team.value:.3g} USD each"
        )
        yield f"  right is {right} ({self.right.because}); replay said {self.replayed}"
        yield f"  full run said {verdict.word}: {verdict.headline}"
        for name, known in self.truths.items():
            found = _bounds(self.intervals[name])
            yield f"  {name}: {found}, on the pool {_bounds(known)}, held: {self.held[name]}"

    @property
    def held(self) -> dict[str, bool | None]:
        """Whether each interval of the run holds what the pool's rows say, which have luck of
        their own."""
        return {
            name: holds(self.intervals[name], known.estimate if known else None)
            for name, known in self.truths.items()
        }

    @property
    def intervals(self) -> dict[str, Interval | None]:
        decision = self.decision
        return {
            "quality of the prompt": decision.prompt.quality if decision.prompt else None,
            "quality of the fine-tune": decision.fine_tune.quality if decision.fine_tune else None,
            "difference": decision.comparison.difference if decision.comparison else None,
        }


def confirm(
    pool: Pool, world: World, count: int, minutes: float, progress: Progress
) -> Iterator[Confirmed]:
    """Decide for `count` teams, each within about so many minutes; what is done is not repeated."""
    for team in teams(world, count):
        folder = prepare(pool, team, minutes)
        progress.note(f"{folder}: team {team.number}, {team.rows} rows")
        decided = pipeline.decide(folder, progress)
        yield Confirmed(
            team,
            truth(world, team),
            tell(world, team).verdict.word,
            decided.decision,
            known_truths(pool, decided.folder, decided.decision, progress.note),
        )


def teams(world: World, count: int) -> list[Team]:
    """The first of small size for whom each of WORDS alone is right, in turn, where the gap
    matters."""
    found: list[Team] = []
    for number in range(10_000):
        team = draw_team(number)
        if len(found) < count and team.rows in ROWS:
            known = truth(world, team)
            wanted = WORDS[len(found) % len(WORDS)]
            if known.words == {wanted} and abs(known.gap) >= team.least:
                found.append(team)
    return found


def prepare(pool: Pool, team: Team, minutes: float) -> Path:
    """The team's task folder, with its rows drawn from those outside the pool."""
    folder = home() / "confirm" / f"{pool.task.name}-{team.number}"
    outside = {row.id: row for rows in (pool.rate_rows, *pool.training) for row in rows}
    rows = sorted(outside.values(), key=lambda row: row.id)
    order = np.random.default_rng([team.number, 2]).permutation(len(rows))[: team.rows]
    lines = (
        json.dumps(
            {"input": rows[i].input, "output": _target(pool, rows[i].target)}, ensure_ascii=False
        )
        for i in order
    )
    task = team.task(pool.task).model_copy(
        update={
            "data": DataSpec(path="rows.jsonl", approved_by="its package's contributors"),
            "search": Search(learning_rates=RATES, epochs=1),
            "budget": Budget(minutes=minutes),
        }
    )
    settings = task.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / "rows.jsonl", "\n".join(lines) + "\n")
    write_atomic(folder / "task.yaml", yaml.safe_dump(settings, sort_keys=False))
    return folder


def known_truths(
    pool: Pool, run: Path, decision: Decision, note: Callable[[str], None]
) -> dict[str, Interval | None]:
    """Quality of both finalists on all rows of the pool, and their difference there."""
    metric = pool.task.metric
    finalists = [score for score in (decision.prompt, decision.fine_tune) if score is not None]
    found = {score.arm: _answers(pool, run, score.variant, note) for score in finalists}
    known: dict[str, Interval | None] = {
        f"quality of the {score.arm}": summarise(
            _variant(decision, score.variant), "test", found[score.arm], metric
        ).quality
        for score in finalists
    }
    if len(found) == 2:
        known["difference"] = compare(found["prompt"], found["fine-tune"], metric).difference
    return known


def _answers(pool: Pool, run: Path, variant: str, note: Callable[[str], None]) -> list[Record]:
    """The finalist's records of the pool's rows, made once."""
    path = run.parents[1] / f"pool-{variant}.jsonl"
    if not path.exists():
        predictor = load(run, note, variant_id=variant)
        note(f"{predictor.variant.name}: all {len(pool.rows)} rows of the pool")
        answers = predictor.answer_many(pool.rows)
        scorer = as_rows(scorer_for(pool.task, home()))
        append(
            path,
            [
                Record(
                    variant=variant,
                    example=row.id,
                    completion=answer if isinstance(answer, Completion) else None,
                    outcome=scorer.score_rows(
                        [Answered(input=row.input, target=row.target, answer=answer.text)]
                    )[0]
                    if isinstance(answer, Completion)
                    else answer,
                )
                for row, answer in zip(pool.rows, answers, strict=True)
            ],
        )
    return read_records(path)


def _variant(decision: Decision, identity: str) -> Variant:
    found = decision.variant(identity)
    assert found is not None
    return found


def _target(pool: Pool, target: str) -> object:
    """As it stands in a file of rows."""
    return json.loads(target) if pool.task.output.kind == "json" else target


def _bounds(interval: Interval | None) -> str:
    if interval is None or interval.estimate is None:
        return "unknown"
    if interval.low is None or interval.high is None:
        return f"{interval.estimate:.3f}"
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}]"
