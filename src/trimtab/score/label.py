"""One label out of a set."""

from __future__ import annotations

from pydantic import JsonValue

from trimtab.score.base import ContractScorer, Scorer
from trimtab.types import OutputContract


def from_contract(contract: OutputContract) -> Scorer:
    """Scores `accuracy`: 1 for the target's label, 0 for any other."""
    return ContractScorer(contract, ("accuracy",), _judge)


def _judge(answer: JsonValue, target: JsonValue) -> dict[str, float]:
    return {"accuracy": float(answer == target)}
