"""Records what every variant of a task answers to every row of its pool, once.

Each unit is a run directory of its own: the prompts, the prompts with nearest demonstrations from
so many training rows, and each order of training. A unit that was cut off goes on where it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.truth.pools import DRAWS, SIZES, Pool, home

from trimtab.compare.summary import summarise
from trimtab.engine.cache import RequestCache
from trimtab.engine.local.engine import LocalEngine
from trimtab.engine.registry import make_engine
from trimtab.errors import BudgetSpent
from trimtab.measure.bench import Bench
from trimtab.measure.meter import Meter, Silent
from trimtab.measure.plan import max_answer, measure_lengths
from trimtab.prompt.demonstrations import STRATEGIES
from trimtab.prompt.nearest import NearestPool
from trimtab.prompt.recipe import Kitchen, Recipe
from trimtab.prompt.search import DEMONSTRATIONS, INSTRUCTIONS
from trimtab.prompt.variants import constrained
from trimtab.score.registry import scorer_for
from trimtab.store.files import read_records, write_atomic
from trimtab.store.run import Run, open_run
from trimtab.task.data import dataset_hash
from trimtab.task.spec import Budget, Search, Task
from trimtab.tune.arm import TuneArm
from trimtab.tune.trained import Trained
from trimtab.types import CurvePoint, Noun, Record, Variant, VariantScore, content_hash

COUNTS = (4, 8)
"""Demonstrations that are shown."""
FIXED_FROM = 25
"""Training rows that fixed demonstrations are chosen from: those of the smallest team."""
NEAREST_FROM = (50, 200)
"""Training rows that nearest ones are: a team uses the largest that it has."""
_UNLIMITED = 10**9


class Prompted(Noun):
    """A prompt of the search, and the stage that it runs in."""

    stage: str
    recipe: Recipe
    variant: Variant


class Recorded(Noun):
    """What a unit holds, written once all of it is recorded."""

    identity: dict[str, str]
    """Hash of each thing that it was recorded for."""
    folder: str
    """Of its run."""
    prompts: tuple[Prompted, ...] = ()
    sweep: tuple[CurvePoint, ...] = ()
    trained: tuple[Trained, ...] = ()

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Each fine-tune free and constrained."""
        tuned = [trained.variant for trained in self.trained]
        return (*(p.variant for p in self.prompts), *tuned, *map(constrained, tuned))


@dataclass(frozen=True)
class Unit:
    """One part of a task's recording: its name, and how many training rows its prompts see."""

    name: str
    nearest_from: int = 0
    draw: int | None = None


UNITS = (
    Unit("prompts"),
    Unit("draw-0", draw=0),
    *(Unit(f"nearest-{rows}", nearest_from=rows) for rows in reversed(NEAREST_FROM)),
    *(Unit(f"draw-{draw}", draw=draw) for draw in range(1, DRAWS)),
)


def recorded(pool: Pool, unit: Unit) -> tuple[Recorded, dict[str, dict[str, Record]]] | None:
    """What is recorded of a unit, and the records by variant and row; None where it is not done."""
    path = _manifest(pool, unit)
    if not path.exists():
        return None
    found = Recorded.model_validate_json(path.read_bytes())
    if found.identity != _identity(pool, unit):
        return None
    records = Path(found.folder) / "records"
    return found, {
        variant.id: {row.example: row for row in read_records(records / f"{variant.id}-test.jsonl")}
        for variant in found.variants
    }


def record(pool: Pool, minutes: float, note: Callable[[str], None]) -> bool:
    """Record what is missing, for at most about `minutes`; whether all of it is there now."""
    recorder = _Recorder(pool, time.monotonic() + 60 * minutes, note)
    return all(recorded(pool, unit) is not None or recorder.unit(unit) for unit in UNITS)


def recording_task(task: Task, draw: int) -> Task:
    """The task with the settings that its recording trains by."""
    search = Search(learning_rates=(1e-3, 3e-3), train_sizes=SIZES, epochs=1)
    return task.model_copy(update={"search": search, "seed": draw})


def prompts_of(pool: Pool, unit: Unit, model: str, max_tokens: int) -> tuple[Prompted, ...]:
    """The prompts of a unit with their stages, constrained but for the instructions alone, which
    are tried both ways."""
    train = pool.training[0][:FIXED_FROM]
    kitchen = Kitchen(pool.task, model, max_tokens, train)
    shown = [Recipe(nearest=k) for k in COUNTS] if unit.nearest_from else _fixed(kitchen)
    staged = [(DEMONSTRATIONS, recipe.but(constrained=True)) for recipe in shown]
    if not unit.nearest_from:
        alone = [Recipe(), Recipe(constrained=True)]
        staged = [*((INSTRUCTIONS, recipe) for recipe in alone), *staged]
    return tuple(
        Prompted(stage=stage, recipe=recipe, variant=kitchen.cook(recipe))
        for stage, recipe in staged
    )


def _fixed(kitchen: Kitchen) -> list[Recipe]:
    return [
        Recipe(demonstrations=rows, chosen=chosen)
        for k in COUNTS
        for chosen, rows in zip(STRATEGIES, kitchen.sets(k), strict=True)
    ]


class _Recorder:
    """Records units of one pool with one model, until a moment."""

    def __init__(self, pool: Pool, until: float, note: Callable[[str], None]) -> None:
        self._pool, self._until, self._note = pool, until, note

    @cached_property
    def _engine(self) -> LocalEngine:
        engine = make_engine(self._pool.task.models.prompt, self._note)
        assert isinstance(engine, LocalEngine)
        return engine

    @cached_property
    def _max_tokens(self) -> int:
        rows = [*self._pool.training[0], *self._pool.rate_rows]
        return max_answer([measure_lengths(self._pool.task, self._engine, rows)])

    def unit(self, unit: Unit) -> bool:
        """Go on with a unit; whether it ended before the time did."""
        begun = time.monotonic()
        root = home() / self._pool.task.name / unit.name
        identity = _identity(self._pool, unit)
        run, _ = open_run(root, identity, {})
        with run:
            bench = self._bench(run, unit)
            try:
                with bench.meter.stage("recording"):
                    found = self._fill(bench, unit)
            except BudgetSpent:
                found = None
            finally:
                bench.cache.close()
            if found is not None:
                whole = Recorded(identity=identity, folder=str(run.folder), **found)
                write_atomic(_manifest(self._pool, unit), whole.model_dump_json(indent=2) + "\n")
        state = "done" if found is not None else "to be continued"
        seconds = time.monotonic() - begun
        self._note(f"{self._pool.task.name} {unit.name}: {state}, {seconds:.0f} s")
        return found is not None

    def _fill(self, bench: Bench, unit: Unit) -> dict[str, Any] | None:
        if unit.draw is not None:
            return self._train(bench, unit.draw)
        prompts = prompts_of(self._pool, unit, self._engine.model_id, self._max_tokens)
        for prompt in prompts:
            bench.records(prompt.variant, "test", self._pool.rows)
        return {"prompts": prompts}

    def _train(self, bench: Bench, draw: int) -> dict[str, Any] | None:
        pool = self._pool
        arm = TuneArm(
            engine=self._engine,
            task=recording_task(pool.task, draw),
            folder=bench.run.adapters_path,
            max_tokens=self._max_tokens,
            evaluate=lambda variant: self._score(bench, variant),
            on_tokens=lambda tokens: _book(bench.meter, tokens),
        )
        sweep, trained = arm.run(pool.training[draw], pool.rate_rows, SIZES)
        if len(trained) < len(SIZES):
            return None
        for each in trained:
            bench.records(constrained(each.variant), "test", pool.rows)
        return {"sweep": tuple(sweep), "trained": tuple(trained)}

    def _score(self, bench: Bench, variant: Variant) -> VariantScore:
        records = bench.records(variant, "test", self._pool.rows)
        return summarise(variant, "test", records, self._pool.task.metric)

    def _bench(self, run: Run, unit: Unit) -> Bench:
        task = self._pool.task
        spent = sum(part.seconds for part in run.spent())
        minutes = max(1e-6, (spent + self._until - time.monotonic()) / 60)
        return Bench(
            run=run,
            engine=self._engine,
            spec=task.models.prompt,
            scorer=scorer_for(task, home()),
            contract=task.output,
            pool=NearestPool(self._pool.training[0][: unit.nearest_from or FIXED_FROM]),
            cache=RequestCache(home() / "requests.sqlite"),
            meter=Meter(run, Budget(minutes=minutes, calls=_UNLIMITED), Silent()),
        )


def _book(meter: Meter, tokens: int) -> None:
    meter.book(train_tokens=tokens)
    meter.check()


def _manifest(pool: Pool, unit: Unit) -> Path:
    return home() / pool.task.name / f"{unit.name}.json"


def _identity(pool: Pool, unit: Unit) -> dict[str, str]:
    training = pool.training[unit.draw or 0]
    sizes = {} if unit.draw is None else {"sizes": " ".join(map(str, SIZES))}
    return {
        **sizes,
        "task": content_hash(pool.task.instructions, pool.task.output.model_dump_json()),
        "rows": dataset_hash(pool.rows),
        "training rows": content_hash(*(row.id for row in training)),
    }
