"""A prompt by its coordinates: what a step of the search changes, one at a time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from trimtab.prompt.demonstrations import demonstration_sets
from trimtab.prompt.variants import (
    RETRIES,
    constrained,
    nearest,
    orders_of,
    reasoning,
    reordered,
    retrying,
    static,
    worded,
    zero_shot,
)
from trimtab.prompt.wording import format_text
from trimtab.task.spec import Task
from trimtab.types import Example, Noun, Variant

_PART_END = re.compile(r"(\n+|(?<=[.!?;])[ \t]+)")


class Recipe(Noun):
    """What a candidate is made of; `Kitchen.cook` makes the variant. The default is zero-shot."""

    instructions: str | None = None
    """None: as the task has them."""
    edit: str = ""
    """How they differ from the task's, for the name."""
    format: str = "words"
    """How the output contract is said: one of `wording.FORMATS`."""
    reminder: bool = False
    """Whether the output format is said once more, at the end of the instructions."""
    demonstrations: tuple[Example, ...] = ()
    chosen: str = ""
    """How the demonstrations were chosen, for the name."""
    nearest: int = 0
    order: str = ""
    """Of the demonstrations, one of `variants.orders_of`; empty: as they come."""
    constrained: bool = False
    reason: bool = False
    retry: bool = False
    own: int | None = None
    """Position of a prompt of the user's own, which then is the whole prompt."""

    @property
    def shown(self) -> int:
        """How many demonstrations an input meets."""
        return len(self.demonstrations) + self.nearest

    def but(self, **changes: object) -> Recipe:
        """The same recipe with these coordinates changed."""
        return self.model_copy(update=changes)


@dataclass(frozen=True)
class Kitchen:
    """Makes variants of recipes for one task, model and set of training rows."""

    task: Task
    model_id: str
    max_tokens: int
    train: Sequence[Example]
    own: Sequence[Variant] = ()
    _sets: dict[tuple[int, int], tuple[tuple[Example, ...], ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def can_constrain(self) -> bool:
        return self.task.output.kind != "text"

    def instructions(self, recipe: Recipe) -> str:
        """As the recipe has them."""
        return recipe.instructions or self.task.instructions.strip()

    def sets(self, k: int, seed: int = 0) -> tuple[tuple[Example, ...], ...]:
        """`demonstration_sets` of `k` rows, made once; another `seed` gives other ones."""
        if (k, seed) not in self._sets:
            self._sets[k, seed] = demonstration_sets(
                self.train, k, self.task.output, self.task.seed + seed
            )
        return self._sets[k, seed]

    def cook(self, recipe: Recipe) -> Variant:
        """The variant that the recipe describes. The same recipe gives the same variant."""
        variant = self._prompt(recipe) if recipe.own is None else self.own[recipe.own]
        if recipe.order:
            variant = reordered(variant, recipe.order)
        if recipe.constrained:
            variant = constrained(variant)
        if recipe.reason:
            variant = reasoning(variant)
        return retrying(variant, RETRIES) if recipe.retry else variant

    def orders(self, recipe: Recipe) -> tuple[str, ...]:
        """Other orders that its demonstrations can take."""
        return orders_of(self.cook(recipe.but(order="")))[1:]

    def _prompt(self, recipe: Recipe) -> Variant:
        words = self.instructions(recipe)
        if recipe.reminder:
            words = f"{words}\n\nRemember: {format_text(self.task.output)}"
        task = self.task.model_copy(update={"instructions": words})
        variant = self._shown(recipe, task)
        if recipe.format != "words":
            (example,) = self.sets(1)[1]
            variant = worded(variant, task, recipe.format, example)
        added = [recipe.edit, "format said twice" if recipe.reminder else ""]
        return variant.model_copy(update={"name": ", ".join([variant.name, *filter(None, added)])})

    def _shown(self, recipe: Recipe, task: Task) -> Variant:
        fixed = recipe.demonstrations
        if not fixed and not recipe.nearest:
            return zero_shot(task, self.model_id, self.max_tokens)
        if not fixed:
            return nearest(task, self.model_id, recipe.nearest, self.max_tokens)
        variant = static(task, self.model_id, fixed, self.max_tokens, recipe.chosen)
        if not recipe.nearest:
            return variant
        prompt = variant.prompt.model_copy(update={"nearest": recipe.nearest})
        name = f"{variant.name} and {recipe.nearest} nearest"
        return variant.model_copy(update={"name": name, "prompt": prompt})


def parts_of(text: str) -> list[str]:
    """Sentences and lines of `text`, each with the space after it; joined they are `text` again."""
    pieces = _PART_END.split(text)
    parts: list[str] = []
    for i in range(0, len(pieces), 2):
        part = "".join(pieces[i : i + 2])
        if pieces[i] or not parts:
            parts.append(part)
        else:  # space after space
            parts[-1] += part
    return [part for part in parts if part]
