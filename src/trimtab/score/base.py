"""What a scorer is, and the scorer that all built-in kinds share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from pydantic import JsonValue

from trimtab.errors import DataError
from trimtab.task.contract import parse
from trimtab.types import OutputContract, Scored


class Scorer(Protocol):
    """Judges one answer against its target.

    `metrics` of the result lie in 0..1, more is better, and always have the same names. An answer
    that breaks the contract is a wrong answer: `valid=False`, every metric 0. Raises `DataError`
    where the target itself breaks the contract, because then no answer can be judged.
    """

    def __call__(self, answer: str, target: str) -> Scored: ...


@dataclass(frozen=True)
class ContractScorer:
    """Parses answer and target by the contract, then compares the two values.

    An answer is taken as it is, apart from surrounding whitespace: a code fence, a polite opening
    sentence or a missing brace makes it invalid. The program that will call the model breaks on
    such an answer too, and a repair here would hide from the decision what it has to weigh.
    """

    contract: OutputContract
    metrics: tuple[str, ...]
    judge: Callable[[JsonValue, JsonValue], Mapping[str, float]]
    """(answer, target) -> every one of `metrics`."""

    def __call__(self, answer: str, target: str) -> Scored:
        wanted = self._target_value(target)
        try:
            value = parse(self.contract, answer)
        except ValueError as problem:
            zeros = dict.fromkeys(self.metrics, 0.0)
            return Scored(metrics=zeros, valid=False, problem=str(problem))
        return Scored(metrics=dict(self.judge(value, wanted)), valid=True, parsed=value)

    def _target_value(self, target: str) -> JsonValue:
        try:
            return parse(self.contract, target)
        except ValueError as problem:
            raise DataError(
                f"the target {target[:80]!r} breaks the task's own output contract: {problem}; "
                "correct the row or the contract"
            ) from problem
