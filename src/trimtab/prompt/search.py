"""The prompt arm: hand-made candidates, from cheap to dear, each scored on dev."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from trimtab.prompt.demonstrations import STRATEGIES, demonstration_sets
from trimtab.prompt.variants import constrained, nearest, static, zero_shot
from trimtab.task.spec import Task
from trimtab.types import Example, Variant, VariantScore


class Shape(NamedTuple):
    """What a candidate will cost: its demonstrations, and whether it is constrained."""

    fixed: int
    nearest: int
    constrained: bool


@dataclass(frozen=True)
class PromptSearch:
    """The candidates of one task, made from its training rows."""

    task: Task
    model_id: str
    max_tokens: int
    train: Sequence[Example]

    def run(self, evaluate: Callable[[Variant], VariantScore]) -> None:
        """Score every candidate; the caller keeps the scores, and may raise to end the search.

        Order: no demonstrations; fixed ones, whose way of choosing dev settles at the smallest
        number and larger ones keep; those nearest to each input. Each free and constrained.
        """
        self._both(zero_shot(self.task, self.model_id, self.max_tokens), evaluate)
        strategies: tuple[str, ...] = STRATEGIES
        for k in self._counts:
            scored = [(evaluate(variant), variant) for variant in self._fixed(k, strategies)]
            best = max(range(len(scored)), key=lambda i: scored[i][0].rank)
            strategies = (strategies[best],)
            if self._can_constrain:
                evaluate(constrained(scored[best][1]))
        for k in self._counts:
            self._both(nearest(self.task, self.model_id, k, self.max_tokens), evaluate)

    def shapes(self) -> list[Shape]:
        """The candidates that `run` will score, in its order, for planning."""
        ways = (False, True) if self._can_constrain else (False,)
        found = [Shape(0, 0, way) for way in ways]
        for index, k in enumerate(self._counts):
            found += [Shape(k, 0, False)] * (len(STRATEGIES) if index == 0 else 1)
            found += [Shape(k, 0, way) for way in ways[1:]]
        return found + [Shape(0, k, way) for k in self._counts for way in ways]

    @property
    def _counts(self) -> list[int]:
        return sorted(k for k in set(self.task.search.demonstrations) if k <= len(self.train))

    @property
    def _can_constrain(self) -> bool:
        return self.task.output.kind != "text"

    def _both(self, variant: Variant, evaluate: Callable[[Variant], VariantScore]) -> None:
        evaluate(variant)
        if self._can_constrain:
            evaluate(constrained(variant))

    def _fixed(self, k: int, strategies: Sequence[str]) -> list[Variant]:
        sets = demonstration_sets(self.train, k, self.task.output, self.task.seed)
        return [
            static(self.task, self.model_id, demonstrations, self.max_tokens, strategy)
            for strategy, demonstrations in zip(STRATEGIES, sets, strict=True)
            if strategy in strategies
        ]
