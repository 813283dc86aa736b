"""Replays teams and sums up how they fared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean

from benchmarks.truth.reasons import why
from benchmarks.truth.rivals import always_prompt, estimates_alone, tune_from_500_rows
from benchmarks.truth.teams import AS_IT_IS, Luck, Team, draw_team, tell
from benchmarks.truth.verdicts import Judged, Truth, foretold, holds, judge, stakes, truth
from benchmarks.truth.world import World

from trimtab.types import Word

OURS = "Trimtab"
Rival = Callable[[int], Word]
"""From the number of a team's rows to a verdict."""
Figures = dict[str, float | int | None]


@dataclass(frozen=True)
class Case:
    """One team, decided in every way."""

    task: str
    team: Team
    truth: Truth
    judged: Mapping[str, Judged]
    held: Mapping[str, bool | None]
    """Whether each of Trimtab's intervals held the truth."""
    foretold: Sequence[tuple[float, bool, float]]
    why: str
    """Why Trimtab's word is not right; empty where it is."""

    @property
    def matters(self) -> bool:
        """Whether the true gap, either way, is at least the smallest difference that matters."""
        return abs(self.truth.gap) >= self.team.least

    @property
    def matters_net(self) -> bool:
        """Whether the gap that is left once all costs are taken off is as large."""
        return abs(self.truth.net) >= self.team.least

    @property
    def clear(self) -> bool:
        """Whether, besides, the best prompt is as far from the goal, above or below."""
        return self.matters and abs(self.truth.margin) >= self.team.least


def replay(
    worlds: Mapping[str, Sequence[World]],
    rivals: Mapping[str, Mapping[str, Rival]],
    numbers: Sequence[int],
    luck: Luck = AS_IT_IS,
) -> list[Case]:
    """Teams of these numbers in turn over all tasks and trainings; `rivals` by task and name."""
    everywhere = [(task, world) for task, of in worlds.items() for world in of]
    return [
        case(task, world, draw_team(number), rivals.get(task, {}), luck)
        for number in numbers
        for task, world in [everywhere[number % len(everywhere)]]
    ]


def case(
    task: str, world: World, team: Team, rivals: Mapping[str, Rival], luck: Luck = AS_IT_IS
) -> Case:
    told, known = tell(world, team, luck), truth(world, team)
    own = stakes(world, team, told)
    words = {
        OURS: told.verdict.word,
        "the estimates alone": estimates_alone(team, told),
        "always the prompt": always_prompt(team.rows),
        "fine-tune from 500 rows": tune_from_500_rows(team.rows),
        **{name: rival(team.rows) for name, rival in rivals.items()},
    }
    finalists = (told.prompt, told.tuned)
    qualities = [world.true(each, team.train).quality.estimate for each in finalists]
    return Case(
        task=task,
        team=team,
        truth=known,
        judged={name: judge(word, known, own) for name, word in words.items()},
        held={
            "difference": holds(told.comparison.difference, own.quality),
            **{
                f"quality of the {score.arm}": holds(score.quality, quality)
                for score, quality in zip(told.scores, qualities, strict=True)
            },
        },
        foretold=foretold(world, team, told.forecast),
        why=why(world, team, told, known),
    )


def figures(cases: Sequence[Case], way: str = OURS) -> Figures:
    """How one way to decide fared; shares are of the cases that they name."""
    judged = [each.judged[way] for each in cases]
    matter = [each.judged[way] for each in cases if each.matters]
    concluded = [each for each in matter if each.word != "inconclusive"]
    clear = [each.judged[way] for each in cases if each.clear]
    net = [each.judged[way] for each in cases if each.matters_net]
    tuned = [each for each in judged if each.word == "fine-tune"]
    return {
        "teams": len(judged),
        "teams_with_a_gap": len(matter),
        "right": _share(each.right for each in matter),
        "right_of_concluded": _share(each.right for each in concluded),
        "teams_clear": len(clear),
        "right_of_clear": _share(each.right for each in clear),
        "teams_with_a_net_gap": len(net),
        "right_of_net": _share(each.right for each in net),
        "right_of_all": _share(each.right for each in judged),
        "inconclusive": _share(each.word == "inconclusive" for each in judged),
        "inconclusive_with_a_gap": _share(each.word == "inconclusive" for each in matter),
        "fine_tune": _share(each.word == "fine-tune" for each in judged),
        "fine_tune_lost": _share(each.lost for each in judged),
        "lost_of_fine_tunes": _share(each.lost for each in tuned),
        "fine_tune_unpaid": _share(each.unpaid for each in judged),
        "quality_regret": _mean(each.quality_regret for each in judged),
        "money_regret": _mean(each.money_regret for each in judged),
    }


def coverage(cases: Sequence[Case]) -> dict[str, Figures]:
    """How often each kind of interval held the truth, and the forecasts' errors by reach."""
    found: dict[str, Figures] = {}
    for name in dict.fromkeys(name for each in cases for name in each.held):
        held = [kept for each in cases if (kept := each.held.get(name)) is not None]
        found[name] = {"n": len(held), "held": _share(held)}
    ahead = [each for of in cases for each in of.foretold]
    for reach in sorted({round(reach) for reach, _, _ in ahead}):
        at = [(kept, error) for far, kept, error in ahead if round(far) == reach]
        found[f"forecast at {reach}x"] = {
            "n": len(at),
            "held": _share(kept for kept, _ in at),
            "error": _mean(error for _, error in at),
        }
    return found


def words(cases: Sequence[Case]) -> dict[str, dict[str, int]]:
    """Verdicts by what was right."""
    table: dict[str, dict[str, int]] = {}
    for each in cases:
        row = table.setdefault(" or ".join(sorted(each.truth.words)), {})
        word = each.judged[OURS].word
        row[word] = row.get(word, 0) + 1
    return table


def reasons(cases: Sequence[Case]) -> list[tuple[str, str, str, int]]:
    """(what is right, what was said, why, how often) of wrong verdicts where the gap matters."""
    counts = Counter(
        (
            f"{' or '.join(sorted(each.truth.words))}: {each.truth.because}",
            each.judged[OURS].word,
            each.why,
        )
        for each in cases
        if each.matters and each.why
    )
    return [(*key, count) for key, count in counts.most_common()]


def _share(values: Iterable[bool]) -> float | None:
    return _mean(map(float, values))


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return round(mean(found), 4) if found else None
