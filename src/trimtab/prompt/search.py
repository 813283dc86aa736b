"""The prompt arm: stages of hand-made candidates, then an automatic search while it pays.

Each stage changes one coordinate of the best prompt so far, so the candidates add up and do not
multiply. Within a stage they race (race.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from trimtab.errors import DataError
from trimtab.prompt.demonstrations import STRATEGIES
from trimtab.prompt.optimise import Attempt
from trimtab.prompt.race import Entry, Race
from trimtab.prompt.recipe import Kitchen, Recipe
from trimtab.prompt.wording import formats_of

LAST_SHARE = 0.6
"""The automatic search ends once this share of all that was used brought no better prompt, and the
plateau is judged over the same share."""
HEADROOM = 0.02
"""Points on dev that the hand-made prompts must have gained over the instructions alone before an
automatic search begins: where they gain less, this model does not answer to its prompt."""
MOST_PROPOSALS = 200
MOST_REPEATS = 10
"""Proposals in a row that were tried before; then the optimiser has no more to say."""

INSTRUCTIONS = "instructions"
DEMONSTRATIONS = "demonstrations"
AUTOMATIC = "automatic search"

Propose = Callable[[Sequence[Attempt]], Recipe | None]

Share = Callable[[int], float]
"""Seconds at the calibrated speed that the search may use where the best prompt shows so many
nearest demonstrations: a longer sealed test than was set aside is paid for out of them."""


class Shape(NamedTuple):
    """What a candidate will cost: its demonstrations, its decoding, and the calls for an answer."""

    fixed: int
    nearest: int
    constrained: bool
    rounds: int = 1


@dataclass
class Course:
    """How far a search came. It is filled as the search goes, and stands when a budget ends it."""

    complete: bool = False
    """Whether every hand-made stage came to its end."""
    headroom: float | None = None
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class PromptSearch:
    """The stages for one task. `most_shown` counts the demonstrations that fit the context."""

    kitchen: Kitchen
    most_shown: Callable[[], int]

    def run(self, race: Race, course: Course, propose: Propose, share: Share) -> None:
        """Run all stages; the best candidate is the race's leader.

        `share` is what the arm may use: a step that cannot fit is left out and noted. Raises
        `BudgetSpent`; `race` and `course` hold what was done until then.
        """
        for name, recipes in self._stages():
            race.run(name, list(recipes(race, course)))
        course.complete = True
        self._more_demonstrations(race, course, share)
        self._automatic(race, course, propose, share)

    def shapes(self) -> list[Shape]:
        """The hand-made candidates for planning, as if the most nearest demonstrations led."""
        ways = (False, True) if self.kitchen.can_constrain else (False,)
        held, counts = ways[-1], self._counts
        most = counts[-1] if counts else 0
        found = [Shape(0, 0, way) for way in ways]
        found += [Shape(0, 0, held)] * (len(formats_of(self.kitchen.task.output)) - 1)
        for k in counts:
            found += [Shape(0, k, held), *[Shape(k, 0, held)] * len(STRATEGIES)]
        found += [Shape(0, most, held)] * (most > 1)
        # Trying again first asks what the free variant asked, so it costs little of its own.
        found += [Shape(0, most, False)] * (len(ways) - 1) + [Shape(0, most, held, rounds=2)]
        return found + [Shape(0, 0, way) for way in ways] * len(self.kitchen.own)

    def dearest(self) -> Shape:
        """The winner that is reserved for: the most nearest demonstrations, doubled once, as the
        search does while that helps. One that thinks first may win too, but reserving for it would
        halve what both arms get."""
        most = max(self._counts, default=0)
        return Shape(0, max(most, self._doubled(most)), self.kitchen.can_constrain)

    def outline(self) -> tuple[str, ...]:
        """What will be tried, in order, a line each."""
        task, counts = self.kitchen.task, self._counts
        lines = ["the instructions as written" + (", free and constrained" * self._constrains)]
        formats = formats_of(task.output)
        lines.append(f"{len(formats)} ways to say the output format: {', '.join(formats)}")
        if counts:
            numbers = ", ".join(map(str, counts))
            lines.append(
                f"demonstrations: {', '.join(STRATEGIES)} and nearest, {numbers} of them; "
                "then their order"
            )
        decoding = "free or constrained, thinking first, trying again"
        lines.append(f"decoding: {decoding if self._constrains else 'thinking first'}")
        if self.kitchen.own:
            lines.append(f"{len(self.kitchen.own)} prompts of your own")
        lines.append("twice as many demonstrations, as long as that helps and the context holds")
        return (*lines, "automatic search, as long as it pays")

    @property
    def _constrains(self) -> bool:
        return self.kitchen.can_constrain

    @property
    def _counts(self) -> list[int]:
        asked = set(self.kitchen.task.search.demonstrations)
        return sorted(k for k in asked if k <= len(self.kitchen.train))

    def _stages(self) -> Iterator[tuple[str, Callable[[Race, Course], Iterator[Recipe]]]]:
        yield INSTRUCTIONS, self._instructions
        yield "output format", self._formats
        yield DEMONSTRATIONS, self._demonstrations
        yield "order of demonstrations", self._orders
        yield "decoding", self._decoding
        yield "own prompts", self._own

    def _instructions(self, race: Race, course: Course) -> Iterator[Recipe]:
        yield Recipe()
        if self._constrains:
            yield Recipe(constrained=True)

    def _formats(self, race: Race, course: Course) -> Iterator[Recipe]:
        for name in formats_of(self.kitchen.task.output)[1:]:
            recipe = _led_by(race).but(format=name)
            try:
                self.kitchen.cook(recipe)
            except DataError:
                course.notes.append(f"output format {name!r}: no training row is fit to be shown")
            else:
                yield recipe

    def _demonstrations(self, race: Race, course: Course) -> Iterator[Recipe]:
        """Every way to choose them with every number: which way is best may hang on the number."""
        if not self._counts:
            course.notes.append(
                "no demonstrations: search.demonstrations names no number of rows that there are"
            )
            return
        leader = _led_by(race)
        for k in self._counts:
            try:
                sets = self.kitchen.sets(k)
            except DataError as problem:
                course.notes.append(f"{k} demonstrations: {problem}")
                continue
            yield leader.but(nearest=k)
            for chosen, rows in zip(STRATEGIES, sets, strict=True):
                yield leader.but(demonstrations=rows, chosen=chosen)

    def _orders(self, race: Race, course: Course) -> Iterator[Recipe]:
        leader = _led_by(race)
        if leader.shown > 1:
            yield from (leader.but(order=order) for order in self.kitchen.orders(leader))

    def _decoding(self, race: Race, course: Course) -> Iterator[Recipe]:
        leader = _led_by(race)
        if not self._constrains:
            yield leader.but(reason=True)
            return
        yield leader.but(constrained=not leader.constrained)
        yield leader.but(constrained=False, retry=True)
        yield leader.but(constrained=True, reason=True)

    def _own(self, race: Race, course: Course) -> Iterator[Recipe]:
        leader = _led_by(race)
        decoding = {name: getattr(leader, name) for name in ("constrained", "reason", "retry")}
        for place in range(len(self.kitchen.own)):
            yield Recipe(own=place)
            yield Recipe(own=place).but(**decoding)

    def _more_demonstrations(self, race: Race, course: Course, share: Share) -> None:
        """Double their number while the last doubling took the lead."""
        while shown := _led_by(race).shown:
            k = self._doubled(shown)
            if k <= shown:
                course.notes.append(f"no more than {shown} demonstrations fit, or there are")
                return
            tried = race.seconds + race.seconds_of_all_rows * k / shown
            if tried > share(k if _led_by(race).nearest else 0):
                course.notes.append(f"{k} demonstrations: more than is left of the budget")
                return
            try:
                race.run("more demonstrations", [self._with_shown(_led_by(race), k)])
            except DataError as problem:
                course.notes.append(f"{k} demonstrations: {problem}")
                return
            if _led_by(race).shown != k:
                return

    def _doubled(self, shown: int) -> int:
        return min(2 * shown, self.most_shown(), len(self.kitchen.train))

    def _automatic(self, race: Race, course: Course, propose: Propose, share: Share) -> None:
        leader = race.leader
        alone = [e for e in race.entries if e.stage == INSTRUCTIONS and e.mean is not None]
        if leader is None or leader.mean is None or not alone:
            course.notes.append("no automatic search: no call was answered")
            return
        course.headroom = leader.mean - max(e.mean or 0.0 for e in alone)
        if course.headroom < HEADROOM:
            course.notes.append(
                f"no automatic search: the prompts gained {100 * course.headroom:.1f} points over "
                f"the instructions alone, and it begins from {100 * HEADROOM:.0f}"
            )
            return
        repeats = 0
        for _ in range(MOST_PROPOSALS):
            if ending := _ending(race, share):
                course.notes.append(f"automatic search ended: {ending}")
                return
            recipe = propose(_history(race))
            if recipe is None:
                course.notes.append("automatic search ended: nothing more was proposed")
                return
            repeats = 0 if race.run(AUTOMATIC, [recipe]) else repeats + 1
            if repeats == MOST_REPEATS:
                course.notes.append("automatic search ended: its proposals repeat")
                return
        course.notes.append(f"automatic search ended after {MOST_PROPOSALS} proposals")

    def _with_shown(self, recipe: Recipe, k: int) -> Recipe:
        """The same way of choosing, with `k` demonstrations."""
        if recipe.nearest:
            return recipe.but(nearest=k - len(recipe.demonstrations))
        rows = self.kitchen.sets(k)[STRATEGIES.index(recipe.chosen)]
        return recipe.but(demonstrations=rows)


def _led(race: Race) -> Entry:
    assert race.leader is not None, "the first candidate sees all rows"
    return race.leader


def _led_by(race: Race) -> Recipe:
    return _led(race).recipe


def _ending(race: Race, share: Share) -> str | None:
    """Why an automatic search would bring no more, or must not."""
    leader = _led(race)
    if leader.mean == 1:
        return "every dev row is answered rightly"
    if race.seconds - leader.seconds >= LAST_SHARE * race.seconds:
        return f"the last {LAST_SHARE:.0%} of what was used brought no better prompt"
    if race.seconds > share(leader.recipe.nearest):
        return "what is left of the arm's share goes to the best prompt's long sealed test"
    return None


def _history(race: Race) -> list[Attempt]:
    return [
        Attempt(each.recipe, each.variant.id, each.scores, each.finished, each is race.leader)
        for each in race.entries
    ]
