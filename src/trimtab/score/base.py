"""What a scorer is, and the scorer that all built-in kinds share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue

from trimtab.errors import DataError
from trimtab.task.contract import parse
from trimtab.types import Failed, OutputContract, Scored


class Scorer(Protocol):
    """Judges one answer against its target.

    `metrics` of the result lie in 0..1, more is better, and always have the same names. An answer
    that breaks the contract is a wrong answer: `valid=False`, and every metric 0, save where the
    task says what such an answer costs. Raises `DataError` where the target itself breaks the
    contract, because then no answer can be judged.
    """

    def __call__(self, answer: str, target: str) -> Scored: ...


@dataclass(frozen=True)
class Answered:
    """One answer to judge, with the row that it answers."""

    input: str
    target: str
    answer: str


class RowScorer(Protocol):
    """Judges answers that need more than their target: the input, a user's code, or a model.

    Results are as of a `Scorer`. A metric that does not decide may be missing where it is unknown.
    """

    batched: bool
    """Whether it calls a model, and so is best given many answers at once."""

    def score_rows(self, rows: Sequence[Answered]) -> Sequence[Scored | Failed]:
        """One outcome a row, in their order; `Failed` at the boundary "scorer" where an answer
        cannot be judged."""
        ...


@dataclass(frozen=True)
class SingleRows:
    """A scorer of single answers as one of rows."""

    scorer: Scorer
    batched = False

    def score_rows(self, rows: Sequence[Answered]) -> list[Scored | Failed]:
        return [self._score(row) for row in rows]

    def _score(self, row: Answered) -> Scored | Failed:
        try:
            return self.scorer(row.answer, row.target)
        except DataError as error:
            return Failed(boundary="scorer", message=str(error))


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
    of_invalid: Mapping[str, float] = field(default_factory=dict)
    """Metrics of an invalid answer that are not 0."""

    def __call__(self, answer: str, target: str) -> Scored:
        wanted = self._target_value(target)
        try:
            value = parse(self.contract, answer)
        except ValueError as problem:
            metrics = dict.fromkeys(self.metrics, 0.0) | dict(self.of_invalid)
            return Scored(metrics=metrics, valid=False, problem=str(problem))
        return Scored(metrics=dict(self.judge(value, wanted)), valid=True, parsed=value)

    def _target_value(self, target: str) -> JsonValue:
        try:
            return parse(self.contract, target)
        except ValueError as problem:
            raise DataError(
                f"the target {target[:80]!r} breaks the task's own output contract: {problem}; "
                "correct the row or the contract"
            ) from problem


def as_rows(scorer: Scorer | RowScorer) -> RowScorer:
    """Any scorer as one of rows."""
    return SingleRows(scorer) if callable(scorer) else scorer
