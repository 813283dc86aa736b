"""What speaks for a look at a call or a labelled row: all reasons that need no person.

The order of the keys in `REASONS` is that of their gravity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from trimtab.audit.coverage import coverage
from trimtab.audit.subject import Subject, walk
from trimtab.audit.suspects import suspected_targets
from trimtab.errors import RunError
from trimtab.predictor import read_decision
from trimtab.store.files import read_records
from trimtab.store.traces import Feedback, Trace
from trimtab.task.contract import canonical_target, violation
from trimtab.types import Example, OutputContract

REASONS: Mapping[str, str] = {
    "invalid": "the answer breaks the output contract",
    "feedback": "a user said something about the answer",
    "disagreement": "variants answer differently",
    "uncovered": "no labelled row is like this input",
    "unlikely": "the answer is unlikely beside the labelled rows",
    "suspected": "the label is unlikely beside the other rows",
    "random": "drawn at random",
    "import": "imported",
}

MOST_COMPARED = 3
"""Variants of a run whose answers on dev are compared, the best ones."""
_MOST_OTHERS = 3
_ALL = 100_000


@dataclass
class Signals:
    """Of one call or row: its reasons with details, and what else may be the answer."""

    reasons: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)

    def add(self, reason: str, detail: str, other: str | None = None) -> None:
        self.reasons.setdefault(reason, detail)
        if other is not None and other not in self.others and len(self.others) < _MOST_OTHERS:
            self.others.append(other)

    @property
    def ordered(self) -> dict[str, str]:
        return {name: self.reasons[name] for name in REASONS if name in self.reasons}


def canonical(contract: OutputContract, text: str) -> str | None:
    """The answer as a target is written; None where it breaks the contract."""
    return canonical_target(contract, text) if violation(contract, text) is None else None


def call_signals(
    contract: OutputContract,
    calls: Sequence[Trace],
    shadows: Mapping[str, str],
    feedback: Sequence[Feedback],
    labelled: Sequence[Example],
    seed: int,
) -> list[Signals]:
    """Signals of each call, in their order.

    Args:
        shadows: what the shadow answered, by the trace that it shadowed.
        labelled: rows that the calls are held against.
    """
    found = [Signals() for _ in calls]
    place = {call.id: i for i, call in enumerate(calls)}
    answers = [canonical(contract, call.output or "") for call in calls]
    for call, answer, signals in zip(calls, answers, found, strict=True):
        if answer is None:
            signals.add("invalid", call.problem or "the answer breaks the output contract")
        other = shadows.get(call.id)
        if other is not None and (ready := canonical(contract, other) or other) != answer:
            signals.add("disagreement", "another variant answers differently", ready)
    for said in feedback:
        if said.trace in place and (said.rating == "down" or said.correction is not None):
            what = "a correction" if said.correction is not None else "a thumb down"
            found[place[said.trace]].add("feedback", f"a user gave {what}", said.correction)
    rows = [
        Example(id=call.id, input=call.input, target=answer)
        for call, answer in zip(calls, answers, strict=True)
        if answer is not None
    ]
    for row, (why, other) in unlikely(contract, [*labelled, *rows], seed).items():
        if row in place:
            found[place[row]].add("unlikely", why, canonical(contract, other) if other else None)
    for number, why in _uncovered(contract, labelled, [call.input for call in calls], seed):
        found[number].add("uncovered", why)
    return found


def row_signals(
    contract: OutputContract,
    rows: Sequence[Example],
    answers: Mapping[str, Sequence[str]],
    seed: int,
) -> list[Signals]:
    """Signals of each labelled row, in their order. `answers`: what variants answered, by row."""
    found = [Signals() for _ in rows]
    place = {row.id: i for i, row in enumerate(rows)}
    for identity, (why, other) in unlikely(contract, rows, seed).items():
        ready = canonical(contract, other) if other else None
        found[place[identity]].add("suspected", why, ready)
    for row, signals in zip(rows, found, strict=True):
        given = {canonical(contract, text) or text for text in answers.get(row.id, ())}
        if len(given) > 1:
            for other in sorted(given - {row.target}):
                signals.add("disagreement", "the best prompts and models answer differently", other)
    return found


def unlikely(
    contract: OutputContract, rows: Sequence[Example], seed: int
) -> dict[str, tuple[str, str]]:
    """Rows whose target a learner trained on the others finds unlikely: why, and what may be right.

    Empty where a learner cannot tell, as for free text.
    """
    if not rows:
        return {}
    subject = Subject(rows, [0] * len(rows), None, contract, seed=seed, listed=_ALL)
    finding = suspected_targets(subject, walk(subject, []))
    return {flag.row: (flag.why, flag.suggestion) for flag in finding.flags}


def dev_answers(runs: Path, contract: OutputContract) -> dict[str, list[str]]:
    """What the best variants of the newest finished run answered on dev, by row."""
    for verdict in sorted(runs.glob("*-*/verdict.json"), reverse=True):
        try:
            decision = read_decision(verdict.parent)
        except RunError:
            continue  # an older run that is damaged does not stand in the way
        best = sorted(decision.dev_scores, key=lambda score: score.rank, reverse=True)
        answers: dict[str, list[str]] = {}
        for score in best[:MOST_COMPARED]:
            for record in read_records(verdict.parent / "records" / f"{score.variant}-dev.jsonl"):
                if record.completion is not None and record.repeat == 0:
                    answers.setdefault(record.example, []).append(record.completion.text)
        return answers
    return {}


def _uncovered(
    contract: OutputContract, labelled: Sequence[Example], inputs: Sequence[str], seed: int
) -> list[tuple[int, str]]:
    """Calls that are farthest from all labelled rows: their places, and why."""
    if not labelled:
        return []
    subject = Subject(
        labelled, [0] * len(labelled), None, contract, traffic=inputs, seed=seed, listed=_ALL
    )
    finding = coverage(subject, walk(subject, []))
    return [(int(flag.row.removeprefix("traffic:")) - 1, flag.why) for flag in finding.flags]
