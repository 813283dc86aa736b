"""The automatic search that needs no strong model: small changes of the best prompt so far."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from trimtab.errors import DataError
from trimtab.prompt.optimise import Attempt, Workshop
from trimtab.prompt.recipe import Recipe, parts_of
from trimtab.prompt.wording import short_text
from trimtab.types import Example

SWAPS = 24
"""Exchanges of single demonstrations proposed for one prompt."""
_OTHER_SET = 1000
"""Offset of the seed from which the rows to swap in are drawn."""


class Mutations:
    """Neighbours of the leader, one of each kind in turn: the cheap ones of instructions first.

    Kinds: the first sentence alone; the format said twice; one sentence left out; two neighbouring
    sentences exchanged; more or fewer demonstrations; fixed ones beside the nearest; one fixed
    demonstration exchanged for another row.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._kitchen = workshop.kitchen
        self._seed = workshop.seed

    def propose(self, history: Sequence[Attempt]) -> Recipe | None:
        """The first neighbour of the leader that was not tried."""
        tried = {each.variant for each in history}
        leader = next(each.recipe for each in history if each.leads)
        for recipe in self._neighbours(leader):
            if self._kitchen.cook(recipe).id not in tried:
                return recipe
        return None

    def _neighbours(self, leader: Recipe) -> Iterator[Recipe]:
        kinds = [self._numbers(leader), self._swaps(leader)]
        if leader.own is None:
            kinds = [self._shortened(leader), self._dropped(leader), self._moved(leader), *kinds]
        for turn in zip_longest(*kinds):
            yield from (recipe for recipe in turn if recipe is not None)

    def _shortened(self, leader: Recipe) -> Iterator[Recipe]:
        yield leader.but(instructions=short_text(self._kitchen.task), edit="short instructions")
        yield leader.but(reminder=not leader.reminder)

    def _dropped(self, leader: Recipe) -> Iterator[Recipe]:
        parts = parts_of(self._kitchen.instructions(leader))
        for i in self._shuffled(range(len(parts)), "drop") if len(parts) > 1 else ():
            rest = "".join(parts[:i] + parts[i + 1 :]).strip()
            yield _edited(leader, rest, f"without {_named(parts[i])}")

    def _moved(self, leader: Recipe) -> Iterator[Recipe]:
        parts = parts_of(self._kitchen.instructions(leader))
        for i in self._shuffled(range(len(parts) - 1), "move"):
            lines = [part.strip() for part in parts]
            lines[i], lines[i + 1] = lines[i + 1], lines[i]
            yield _edited(leader, "\n".join(lines), f"{_named(parts[i + 1])} first")

    def _numbers(self, leader: Recipe) -> Iterator[Recipe]:
        k = leader.nearest
        if k and not leader.demonstrations:
            for other in dict.fromkeys((k + 1, k - 1, k + k // 2, k // 2)):
                if other > 0:
                    yield leader.but(nearest=other)
            for fixed in (2, 4):
                if sets := self._sets(fixed, 0):
                    yield leader.but(demonstrations=sets[-1], chosen="balanced", order="")

    def _swaps(self, leader: Recipe) -> Iterator[Recipe]:
        shown = leader.demonstrations
        if not shown:
            return
        used = {row.id for row in shown}
        drawn = (self._sets(len(shown), _OTHER_SET + i) for i in range(SWAPS))
        others = [row for sets in drawn for rows in sets[:1] for row in rows if row.id not in used]
        for number, row in enumerate(list(dict.fromkeys(others))[:SWAPS], start=1):
            place = (number - 1) % len(shown)
            swapped = (*shown[:place], row, *shown[place + 1 :])
            yield leader.but(demonstrations=swapped, chosen=f"{leader.chosen}, swap {number}")

    def _sets(self, k: int, seed: int) -> tuple[tuple[Example, ...], ...]:
        try:
            return self._kitchen.sets(k, seed)
        except DataError:  # too few rows fit to be shown
            return ()

    def _shuffled(self, places: range, kind: str) -> list[int]:
        order = list(places)
        random.Random(f"{self._seed} {kind}").shuffle(order)  # noqa: S311 - reproducible
        return order


def _edited(leader: Recipe, instructions: str, how: str) -> Recipe:
    edit = f"{leader.edit}, {how}" if leader.edit else how
    return leader.but(instructions=instructions, edit=edit)


def _named(part: str) -> str:
    """The first words of a sentence, to name it by."""
    words = part.split()
    return f"'{' '.join(words[:3])}{' …' if len(words) > 3 else ''}'"
