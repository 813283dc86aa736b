"""Simulated teams: what each wants and has, and what Trimtab tells it from recorded outcomes.

Choosing on dev, looking at the sealed test, the comparison, the forecast, the money, the gates and
the rule are Trimtab's own code. Only where answers come from is different: out of the records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from benchmarks.truth.record import Prompted
from benchmarks.truth.world import Records, World, both_ways

from trimtab.compare.looking import Looking
from trimtab.compare.paired import compare
from trimtab.compare.plateau import plateau
from trimtab.compare.records import answered
from trimtab.compare.sequential import deciding
from trimtab.compare.summary import summarise
from trimtab.decide.ahead import money_ahead
from trimtab.decide.cost import cost_of_1000_calls
from trimtab.decide.evidence import Evidence
from trimtab.decide.money import Effort, money
from trimtab.decide.rule import decide
from trimtab.prompt.race import Entry, Race
from trimtab.prompt.search import DEMONSTRATIONS, INSTRUCTIONS, LAST_SHARE
from trimtab.steps import Candidates
from trimtab.task.spec import (
    Constraints,
    Goals,
    Labelling,
    Models,
    Prices,
    Task,
    Traffic,
    Upkeep,
)
from trimtab.tune.curve_fit import MAX_REACH
from trimtab.tune.forecast import forecast
from trimtab.types import (
    Comparison,
    CurvePoint,
    Example,
    Forecast,
    Interval,
    Money,
    Plateau,
    Record,
    Sequential,
    Variant,
    VariantScore,
    Verdict,
)

ROWS = (75, 100, 150, 200, 300, 400, 600)
"""Labelled rows of a team. With 60 Trimtab refuses: dev and test leave too few to train on."""
GOALS = (0.7, 0.8, 0.9, 0.95)
SMALLEST_DIFFERENCES = (0.02, 0.03, 0.05)
CALLS_PER_MONTH = (3e3, 3e6)
VALUE_OF_RIGHT_ANSWER = (0.001, 0.3)
"""Both drawn evenly on a logarithmic scale between these."""
PRICES = Prices(input=0.1, cached_input=0.05, output=0.4, training=0.5)
"""USD per million tokens of both models: a small hosted model's."""
LABEL_COST = 0.1
UPKEEP = Upkeep(
    owner="a team",
    review_every_days=30,
    retrain_every_months=6,
    cost_per_month=700,
    rollback=True,
)
TODAY = date(2026, 6, 1)
_READ, _WRITTEN = 600.0, 150.0
"""Tokens a second, for the order of the search's costs."""


@dataclass(frozen=True)
class Team:
    """What a team has and wants. Rows are split as Trimtab does by default."""

    number: int
    rows: int
    goal: float
    least: float
    calls: float
    value: float

    @property
    def test(self) -> int:
        return min(max(self.rows // 5, 30), 300)

    @property
    def dev(self) -> int:
        return min(max(self.rows // 10, 20), 100)

    @property
    def train(self) -> int:
        return self.rows - self.test - self.dev

    def task(self, task: Task) -> Task:
        """Its task file: every condition that is asked for is met."""
        model = task.models.prompt.model_copy(update={"prices": PRICES, "machine_per_hour": None})
        return task.model_copy(
            update={
                "goals": Goals(quality=self.goal, smallest_difference=self.least),
                "constraints": Constraints(general_ability="not-needed"),
                "traffic": Traffic(
                    calls_per_month=self.calls,
                    stable_since=date(2026, 1, 1),
                    value_per_correct_answer=self.value,
                ),
                "models": Models(prompt=model, tune=model),
                "labelling": Labelling(cost_per_example=LABEL_COST),
                "upkeep": UPKEEP,
                "seed": self.number,
            }
        )


def draw_team(number: int) -> Team:
    """The same number is always the same team."""
    rng = np.random.default_rng([number, 0])
    calls, value = (
        float(np.exp(rng.uniform(*np.log(each))))
        for each in (CALLS_PER_MONTH, VALUE_OF_RIGHT_ANSWER)
    )
    return Team(
        number=number,
        rows=int(rng.choice(ROWS)),
        goal=float(rng.choice(GOALS)),
        least=float(rng.choice(SMALLEST_DIFFERENCES)),
        calls=calls,
        value=value,
    )


@dataclass(frozen=True)
class Luck:
    """What a team does not know. Each False is known instead, which shows what its luck costs."""

    dev: bool = True
    test: bool = True
    money: bool = True
    """Whether the volume and the prices are as stated."""
    curve: bool = True
    """What more rows would bring."""


AS_IT_IS = Luck()
COPIES = {"dev": 4, "test": 16}
"""Of the whole pool, where a team knows it: so many that hardly an interval straddles anything."""


@dataclass(frozen=True)
class Told:
    """What Trimtab tells a team, and what it chose for each arm."""

    verdict: Verdict
    prompt: Variant
    tuned: Variant
    scores: tuple[VariantScore, VariantScore]
    """On the sealed test: the prompt's, then the fine-tune's."""
    comparison: Comparison
    money: Money
    forecast: Forecast


def tell(world: World, team: Team, luck: Luck = AS_IT_IS) -> Told:
    """Decide for one team."""
    task = team.task(world.task)
    rng = np.random.default_rng([team.number, 1])
    prompts, records = world.prompts(team.train)
    dev, test = (
        _Drawn(world, records, _places(world, rng, size, copies), task)
        for size, copies in (
            (team.dev, 0 if luck.dev else COPIES["dev"]),
            (team.test, 0 if luck.test else COPIES["test"]),
        )
    )
    candidates, state = _search(dev, prompts, task)
    points = _tune(world, team, dev, candidates)
    prompt, tuned = candidates.best("prompt"), candidates.best("fine-tune")
    assert prompt is not None
    assert tuned is not None
    prompt_records, tuned_records, looked = _confirm(test, prompt, tuned, task, looks=luck.test)
    comparison = compare(prompt_records, tuned_records, task.metric, None, task.seed)
    if looked is not None:
        comparison = deciding(comparison, looked)
    scores = _priced(prompt, prompt_records, task), _priced(tuned, tuned_records, task)
    on_dev = candidates.scores[candidates.variants.index(prompt)].quality
    outlook = _outlook(world, team, points, on_dev, luck)
    spent = Effort.of(world.sweep, points)
    costs = money(task, *scores, comparison, spent).money
    assert costs is not None
    costs = _settled(costs, luck)
    ahead = money_ahead(task, *scores, comparison, spent, outlook)
    evidence = Evidence(
        task=task,
        today=TODAY,
        prompt=scores[0],
        fine_tune=scores[1],
        comparison=comparison,
        money=costs,
        money_ahead=ahead and _settled(ahead, luck),
        forecast=outlook,
        n_train=team.train,
        rows_approved=team.rows,
        rows_total=team.rows,
        prompt_search_complete=True,
        plateau=state,
    )
    return Told(
        verdict=decide(evidence),
        prompt=prompt,
        tuned=tuned,
        scores=scores,
        comparison=comparison,
        money=costs,
        forecast=outlook,
    )


def _places(world: World, rng: np.random.Generator, size: int, copies: int) -> list[int]:
    """Rows of the pool: `size` of them by chance, or all of them so many times."""
    drawn = rng.integers(len(world.rows), size=size)
    found: list[int] = (np.tile(np.arange(len(world.rows)), copies) if copies else drawn).tolist()
    return found


def _outlook(
    world: World, team: Team, points: Sequence[CurvePoint], prompt: Interval, luck: Luck
) -> Forecast:
    found = forecast(points, team.goal, LABEL_COST, team.number, labelled=team.train, prompt=prompt)
    if luck.curve:
        return found
    reach = MAX_REACH * max(point.rows for point in points)
    enough = (
        each.point.rows
        for each in world.trained
        if team.train < each.point.rows <= reach and world.most(each, team.train) >= team.goal
    )
    rows = next(enough, None)
    known = ((rows, team.goal, team.goal, team.goal),) if rows else ()
    return found.model_copy(update={"rows_needed": rows, "curve": known})


def _settled(costs: Money, luck: Luck) -> Money:
    """The chance of paying is none where volume and prices are as stated."""
    if luck.money:
        return costs
    saves = costs.saving_per_month.estimate
    assert saves is not None
    return costs.model_copy(update={"p_pays": float(saves > 0)})


class _Drawn:
    """Rows of the pool, some of them more than once; each drawing is a row of its own."""

    def __init__(self, world: World, records: Records, places: Sequence[int], task: Task) -> None:
        self._records = records
        self._sources = {f"{world.ids[p]}.{i}": world.ids[p] for i, p in enumerate(places)}
        self.rows = [
            Example(id=name, input="", target=world.rows[place].target)
            for name, place in zip(self._sources, places, strict=True)
        ]
        self._task = task

    def of(self, variant: Variant, rows: Sequence[Example]) -> list[Record]:
        recorded = self._records[variant.id]
        return [
            recorded[self._sources[row.id]].model_copy(update={"example": row.id}) for row in rows
        ]

    def score(self, variant: Variant) -> VariantScore:
        records = self.of(variant, self.rows)
        return summarise(variant, "dev", records, self._task.metric, self._task.seed)


def _search(dev: _Drawn, prompts: Sequence[Prompted], task: Task) -> tuple[Candidates, Plateau]:
    """Race the recorded prompts stage by stage, in the order of the search: by the number of
    demonstrations, nearest ones first."""
    by_recipe = {each.recipe: each.variant for each in prompts}
    race = Race(dev.rows, task.metric, dev.of, by_recipe.__getitem__, _seconds, task.seed)
    for stage in (INSTRUCTIONS, DEMONSTRATIONS):
        recipes = [each.recipe for each in prompts if each.stage == stage]
        race.run(stage, sorted(recipes, key=lambda each: (each.shown, not each.nearest)))
    candidates = Candidates()
    finished = [each for each in race.entries if each.finished]
    for entry in finished:
        candidates.variants.append(entry.variant)
        candidates.scores.append(dev.score(entry.variant))
    return candidates, _plateau(race, finished, task)


def _plateau(race: Race, finished: Sequence[Entry], task: Task) -> Plateau:
    """As if the search had gone on, without finding anything, for as long as it asks of itself."""
    assert race.leader is not None
    return plateau(
        [each.scores for each in finished],
        [each.seconds for each in finished],
        max(race.seconds, race.leader.seconds / (1 - LAST_SHARE)),
        task.goals.smallest_difference,
        None,
        task.seed,
    )


def _seconds(record: Record) -> float:
    answer = record.completion
    if answer is None:
        return 0.0
    return (answer.tokens_in - answer.tokens_cached) / _READ + answer.tokens_out / _WRITTEN


def _tune(world: World, team: Team, dev: _Drawn, candidates: Candidates) -> list[CurvePoint]:
    """Score every size that the team can train on its dev rows; points of its learning curve."""
    points = []
    for each in world.tuned(team.train):
        candidates.variants.append(each.variant)
        candidates.scores.append(dev.score(each.variant))
        points.append(each.point.model_copy(update={"dev_quality": candidates.scores[-1].quality}))
    best = candidates.best("fine-tune")
    held = next(b for a, b in map(both_ways, world.trained) if a == best)
    candidates.variants.append(held)
    candidates.scores.append(dev.score(held))
    return points


def _confirm(
    test: _Drawn, prompt: Variant, tuned: Variant, task: Task, *, looks: bool
) -> tuple[list[Record], list[Record], Sequential | None]:
    """Both finalists' records of the test rows, as many as were looked at, and how that went."""
    if not looks:
        return test.of(prompt, test.rows), test.of(tuned, test.rows), None
    looking = Looking(
        test.rows, task.metric, task.goals.quality, task.goals.smallest_difference, {}
    )
    found: list[Record] = []
    found_tuned: list[Record] = []
    for rows in looking.blocks():
        block, block_tuned = test.of(prompt, rows), test.of(tuned, rows)
        looking.add(block, block_tuned)
        found += block
        found_tuned += block_tuned
    return found, found_tuned, looking.looked


def _priced(variant: Variant, records: Sequence[Record], task: Task) -> VariantScore:
    score = summarise(variant, "test", records, task.metric, task.seed)
    spec = task.models.prompt if variant.arm == "prompt" else task.models.tune
    assert spec is not None
    cost = cost_of_1000_calls(score, spec, answered(records), None, task.seed)
    return score.model_copy(
        update={"money_per_1000": cost.estimate if cost else None, "money_interval": cost}
    )
