"""One label out of a set."""

from __future__ import annotations

from functools import partial

from pydantic import JsonValue

from trimtab.score.base import ContractScorer, Scorer
from trimtab.task.spec import Costs, Scoring
from trimtab.types import OutputContract


def from_contract(contract: OutputContract, scoring: Scoring | None = None) -> Scorer:
    """Scores `accuracy`: 1 for the target's label, 0 for any other.

    With `scoring.costs` also `cost_score`: 1 - cost / highest cost that an answer can have, so
    that the highest mean is the lowest mean cost.
    """
    costs = scoring.costs if scoring else None
    if costs is None:
        return ContractScorer(contract, ("accuracy",), _accuracy)
    dearest = costs.dearest_label(contract.labels)
    invalid = dearest if costs.invalid is None else costs.invalid
    highest = max(dearest, invalid)
    return ContractScorer(
        contract,
        ("accuracy", "cost_score"),
        partial(_with_cost, costs, highest),
        of_invalid={"cost_score": 1 - invalid / highest},
    )


def _accuracy(answer: JsonValue, target: JsonValue) -> dict[str, float]:
    return {"accuracy": float(answer == target)}


def _with_cost(
    costs: Costs, highest: float, answer: JsonValue, target: JsonValue
) -> dict[str, float]:
    cost = costs.of(str(target), str(answer))
    return _accuracy(answer, target) | {"cost_score": 1 - cost / highest}
