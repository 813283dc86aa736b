"""Which verdict is right, now that everything is known, and what a wrong one costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from benchmarks.truth.teams import Team, Told
from benchmarks.truth.world import World, both_ways

from trimtab.decide.cost import cost_per_call
from trimtab.decide.evidence import meets_everything
from trimtab.decide.money import Effort, money
from trimtab.decide.thresholds import THRESHOLDS
from trimtab.task.split import labels_to_train
from trimtab.tune.curve_fit import MAX_REACH
from trimtab.tune.trained import Trained
from trimtab.types import Forecast, Interval, Variant, Word


@dataclass(frozen=True)
class Truth:
    """What is so, whatever was measured."""

    gap: float
    """Quality of the best fine-tune less that of the best prompt."""
    words: frozenset[Word]
    """Verdicts that are right: two where the record does not reach far enough to tell."""
    margin: float = 0.0
    """Quality of the best prompt less the goal."""
    net: float = 0.0
    """What the best fine-tune saves beside the best prompt, all costs taken off, as the quality
    that is worth as much at the team's volume; 0 where no answer is worth anything."""
    because: str = ""
    """What makes the words right."""


def truth(world: World, team: Team) -> Truth:
    """By the written rule, with every number known.

    The prompt where it meets the goals. Else the fine-tune if it gains and pays, and the guide
    allows it for so many rows. Else more data if a larger recorded training reaches the goal and
    pays, or if rows alone stand against the fine-tune. Else the prompt.
    """
    prompt = _best(world, team, [each.variant for each in world.prompts(team.train)[0]])
    tuned = [way for each in world.tuned(team.train) for way in both_ways(each)]
    rival = _best(world, team, tuned)
    gap = _quality(world, team, rival) - _quality(world, team, prompt)
    worth = team.calls * team.value
    net = saving(world, team, prompt, rival) / worth if worth else 0.0
    words, because = _words(world, team, prompt, rival)
    margin = _quality(world, team, prompt) - team.goal
    return Truth(gap, frozenset(words), margin, net, because)


_Right = tuple[set[Word], str]
"""Words, and what makes them right."""


def _words(world: World, team: Team, prompt: Variant, rival: Variant) -> _Right:
    if meets_everything(world.true(prompt, team.train), team.task(world.task)):
        return {"prompt"}, "a prompt meets the goal"
    if gains(world, team, prompt, rival) and saving(world, team, prompt, rival) > 0:
        if team.train >= THRESHOLDS.fewest_rows:
            return {"fine-tune"}, "it gains and pays"
        return {"collect-data"}, "it gains and pays, on too few rows"
    return _more_rows(world, team, prompt, rival)


def gains(world: World, team: Team, prompt: Variant, tuned: Variant) -> bool:
    """Better by enough, or as good and cheaper by enough."""
    task = team.task(world.task)
    before, after = (world.true(each, team.train) for each in (prompt, tuned))
    gap = _quality(world, team, tuned) - _quality(world, team, prompt)
    assert task.models.tune is not None
    costs = [cost_per_call(score, task.models.prompt) or 0.0 for score in (before, after)]
    return gained(gap, team.least, *costs)


def gained(gap: float, least: float, before: float, after: float) -> bool:
    """The rule's gain: better by `least`, or as good with a call cheaper by enough."""
    cheaper = after < (1 - THRESHOLDS.relative_gain) * before
    return gap >= least or (gap > -least and cheaper)


def saving(
    world: World, team: Team, prompt: Variant, tuned: Variant, rows: int | None = None
) -> float:
    """A month, of having this fine-tune instead of this prompt; of one on so many `rows` with the
    labels bought that the team lacks.

    Trimtab's costs of both, once; volume and value are the team's.
    """
    rows = team.train if rows is None else rows
    key = (prompt.id, tuned.id, team.train, rows)
    if key not in world.costs:
        points = [each.point for each in world.tuned(rows)]
        labels_to_buy = labels_to_train(team.train, rows, None, None)
        found = money(
            team.task(world.task),
            world.true(prompt, team.train),
            world.true(tuned, team.train),
            world.true_difference(prompt, tuned, team.train),
            replace(Effort.of(world.sweep, points), labels_to_buy=labels_to_buy),
        ).money
        assert found is not None
        world.costs[key] = found
    costs = world.costs[key]
    gap = _quality(world, team, tuned) - _quality(world, team, prompt)
    per_call = costs.prompt_per_call - costs.tune_per_call + team.value * gap
    return team.calls * per_call - costs.fixed / costs.horizon_months - costs.monthly


def _more_rows(world: World, team: Team, prompt: Variant, rival: Variant) -> _Right:
    largest = max(each.point.rows for each in world.tuned(team.train))
    ahead = [each for each in world.trained if team.train < each.point.rows <= MAX_REACH * largest]
    if max(_quality(world, team, each) for each in (prompt, rival)) >= team.goal:
        return {"prompt"}, "a fine-tune meets the goal and does not pay"
    reaching = [each for each in ahead if world.most(each, team.train) >= team.goal]
    if reaching:
        if any(_pays_then(world, team, prompt, each) for each in reaching):
            return {"collect-data"}, "more rows reach the goal and pay"
        return {"prompt"}, "more rows reach the goal and do not pay"
    if MAX_REACH * largest > max(each.point.rows for each in world.trained):
        return {"collect-data", "prompt"}, "the record ends before the forecast does"
    return {"prompt"}, "nothing reaches the goal"


def _pays_then(world: World, team: Team, prompt: Variant, trained: Trained) -> bool:
    """Whether it pays once its further rows are bought."""
    best = _best(world, team, both_ways(trained))
    return saving(world, team, prompt, best, trained.point.rows) > 0


def _best(world: World, team: Team, variants: Sequence[Variant]) -> Variant:
    return max(variants, key=lambda each: _quality(world, team, each))


def _quality(world: World, team: Team, variant: Variant) -> float:
    quality = world.true(variant, team.train).quality.estimate
    assert quality is not None
    return quality


@dataclass(frozen=True)
class Stakes:
    """What a team's own fine-tune truly brings beside its own prompt."""

    quality: float
    money: float
    """A month, in the team's currency."""


def stakes(world: World, team: Team, told: Told) -> Stakes:
    gap = _quality(world, team, told.tuned) - _quality(world, team, told.prompt)
    return Stakes(gap, saving(world, team, told.prompt, told.tuned))


@dataclass(frozen=True)
class Judged:
    """One way to decide, for one team."""

    word: Word
    right: bool
    lost: bool
    """A fine-tune was said, and its true quality is below that of the team's own prompt."""
    unpaid: bool
    """A fine-tune was said, and it costs more than it brings."""
    quality_regret: float
    """What the other of the team's two finalists has more, where that was the one to use."""
    money_regret: float
    """A month, likewise."""


def judge(word: Word, known: Truth, own: Stakes) -> Judged:
    """What becomes of the team if it does as `word` says: all but a fine-tune means its prompt."""
    tunes = word == "fine-tune"
    forgone = "fine-tune" in known.words and not tunes
    wrongly = tunes and "fine-tune" not in known.words
    sign = 1 if forgone else -1 if wrongly else 0
    return Judged(
        word=word,
        right=word in known.words,
        lost=tunes and own.quality < 0,
        unpaid=tunes and own.money < 0,
        quality_regret=max(0.0, sign * own.quality),
        money_regret=max(0.0, sign * own.money),
    )


def holds(interval: Interval | None, value: float | None) -> bool | None:
    """Whether it holds the truth; None where either is unknown."""
    if interval is None or value is None or interval.low is None or interval.high is None:
        return None
    return interval.low <= value <= interval.high


def foretold(world: World, team: Team, outlook: Forecast) -> list[tuple[float, bool, float]]:
    """(reach, whether the band held it, absolute error) of each larger recorded size."""
    if not outlook.curve:
        return []
    rows, *bands = np.array(outlook.curve).T
    largest = max(each.point.rows for each in world.tuned(team.train))
    found = []
    for each in world.trained:
        size = each.point.rows
        if largest < size <= rows[-1]:
            middle, low, high = (float(np.interp(np.log(size), np.log(rows), b)) for b in bands)
            quality = _quality(world, team, each.variant)
            found.append((size / largest, low <= quality <= high, abs(middle - quality)))
    return found
