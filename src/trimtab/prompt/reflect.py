"""The automatic search with a reflection model: GEPA's steps, behind Trimtab's own protocol.

The package `gepa` brings the choice of the prompt to change (drawn from those that are best on some
row) and the request to the reflection model. Measuring stays here: candidates race on dev like all
others. Source: Agrawal et al. 2025, "GEPA: Reflective Prompt Evolution", arXiv:2507.19457.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from trimtab.errors import TaskError
from trimtab.prompt.optimise import Attempt, Workshop
from trimtab.prompt.recipe import Recipe
from trimtab.types import Example, Record, Scored

MINIBATCH = 8
"""Training rows that the reflection model sees with the answers to them."""
_TRIES = 3
"""Minibatches that may all be answered rightly before the optimiser gives up."""


class Gepa:
    """Rewrites the instructions of a good prompt after looking at what it got wrong."""

    def __init__(self, workshop: Workshop) -> None:
        # Here, so that a missing package is told before anything is measured.
        import gepa.gepa_utils
        import gepa.strategies.instruction_proposal as proposal

        if workshop.reflect is None:
            raise TaskError(
                "search.optimiser: gepa needs a model to reflect with; name it in search.reflection"
            )
        self._select: Any = gepa.gepa_utils.select_program_candidate_from_pareto_front
        self._signature: Any = proposal.InstructionProposalSignature
        self._reflect = workshop.reflect
        self._workshop = workshop

    def propose(self, history: Sequence[Attempt]) -> Recipe | None:
        """New instructions for a prompt that is best on some dev row; None where the reflection
        model fails, or every answer that it could learn from is right."""
        draw = random.Random(f"{self._workshop.seed} {len(history)}")  # noqa: S311 - reproducible
        parents = [each for each in history if each.finished and each.recipe.own is None]
        if not parents:
            return None
        parent = parents[self._select(*_pareto_front(parents), draw)].recipe
        lessons = self._lessons(parent, draw)
        if not lessons:
            return None
        current = self._workshop.kitchen.instructions(parent)
        text = self._reflect(
            self._signature.prompt_renderer(
                {"current_instruction_doc": current, "dataset_with_feedback": lessons}
            )
        )
        if text is None:
            return None
        new = self._signature.output_extractor(text.strip())["new_instruction"].strip()
        number = 1 + sum(each.recipe.edit.startswith("rewritten") for each in history)
        return parent.but(instructions=new, edit=f"rewritten {number}") if new else None

    def _lessons(self, parent: Recipe, draw: random.Random) -> list[dict[str, str]]:
        """Answers to a minibatch of training rows with what was wanted; empty if none is wrong."""
        train = self._workshop.kitchen.train
        for _ in range(_TRIES):
            rows = draw.sample(list(train), min(MINIBATCH, len(train)))
            records = self._workshop.answer(parent, rows)
            if any(_wrong(record) for record in records):
                return [_lesson(row, record) for row, record in zip(rows, records, strict=True)]
        return []


def _pareto_front(
    parents: Sequence[Attempt],
) -> tuple[Mapping[str, set[int]], Sequence[float]]:
    """By dev row, which parents have the best score on it; and the mean of each parent."""
    front: dict[str, set[int]] = {}
    for row in parents[0].scores:
        scores = [each.scores[row] or 0.0 for each in parents]
        best = max(scores)
        front[row] = {i for i, score in enumerate(scores) if score == best}
    means = [sum(score or 0.0 for score in p.scores.values()) / len(p.scores) for p in parents]
    return front, means


def _wrong(record: Record) -> bool:
    outcome = record.outcome
    return isinstance(outcome, Scored) and min(outcome.metrics.values(), default=1.0) < 1


def _lesson(row: Example, record: Record) -> dict[str, str]:
    outcome = record.outcome
    said = record.completion.text if record.completion else "(no answer)"
    feedback = "This answer is right."
    if not isinstance(outcome, Scored):
        feedback = f"The call failed. Wanted: {row.target}"
    elif _wrong(record):
        problem = f" It breaks the output format: {outcome.problem}." if outcome.problem else ""
        feedback = f"This answer is not right.{problem} Wanted: {row.target}"
    return {"Inputs": row.input, "Generated Outputs": said, "Feedback": feedback}
