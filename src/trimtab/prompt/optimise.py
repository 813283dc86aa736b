"""The automatic search: something that proposes candidates, and is told how far each came.

An optimiser holds no state of its own. What it proposes follows from the history, so that a search
that was cut off goes on where it stopped; proposals that took a model are kept besides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from trimtab.errors import TaskError
from trimtab.prompt.recipe import Kitchen, Recipe
from trimtab.store.files import append, read_nouns
from trimtab.types import Example, Record

GROUP = "trimtab.optimisers"
"""Entry points by name; each is a function `Workshop -> Optimiser`."""


@dataclass(frozen=True)
class Attempt:
    """A candidate that was measured. `scores` are of dev rows by id, None where a call failed."""

    recipe: Recipe
    variant: str
    """Id of what the recipe makes."""
    scores: Mapping[str, float | None]
    finished: bool
    """Whether it saw all dev rows; a candidate that was stopped can lead nothing."""
    leads: bool
    """Whether it is the best so far."""


class Optimiser(Protocol):
    """Proposes what to try next."""

    def propose(self, history: Sequence[Attempt]) -> Recipe | None:
        """The next candidate; None where there is nothing more to propose.

        `history` holds all candidates so far, the hand-made ones too, in the order they ran; at
        least one has finished. A proposal that was tried before is passed over.
        """
        ...


@dataclass(frozen=True)
class Workshop:
    """What an optimiser may use. All calls are booked, cached, and count against the budget."""

    kitchen: Kitchen
    seed: int
    answer: Callable[[Recipe, Sequence[Example]], Sequence[Record]]
    """Answers training rows by a recipe. Never dev rows: those judge what it proposes."""
    reflect: Callable[[str], str | None] | None
    """One text to the reflection model, its answer or None where it failed; None without one."""


def make_optimiser(name: str, workshop: Workshop) -> Optimiser:
    """Make the optimiser of this name.

    Raises:
        TaskError: there is none, or its packages are not installed.
    """
    known = {point.name: point for point in entry_points(group=GROUP)}
    if name not in known:
        names = ", ".join(sorted(known)) or "none, because trimtab itself is not installed"
        raise TaskError(f"search.optimiser: {name!r} is not known; the known ones: {names}")
    try:
        factory: Callable[[Workshop], Optimiser] = known[name].load()
        return factory(workshop)
    except ImportError as error:
        raise TaskError(
            f"search.optimiser: {name!r} needs a package that is not installed ({error}); "
            f"install it, as in: pip install 'trimtab[{name}]'"
        ) from error


class Proposals:
    """What the optimiser proposed in this run, kept so that a resumed search proposes the same."""

    def __init__(self, optimiser: Optimiser, path: Path) -> None:
        self._optimiser = optimiser
        self._path = path
        self._kept = read_nouns(path, Recipe)
        self._next = 0

    def next(self, history: Sequence[Attempt]) -> Recipe | None:
        """The next proposal, from the run where it is kept there."""
        if self._next == len(self._kept):
            proposed = self._optimiser.propose(history)
            if proposed is None:
                return None
            append(self._path, [proposed])
            self._kept.append(proposed)
        self._next += 1
        return self._kept[self._next - 1]
