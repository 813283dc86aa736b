"""How far the finalists answer alike when asked again, in words and rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from trimtab.report import values
from trimtab.types import Arm, ArmConsistency, Consistency, Source, Steady

SOURCES: dict[Source, str] = {
    "sample": "Sampled answers",
    "input": "Other forms of the input",
    "format": "Other layouts of the prompt",
    "seed": "Other training seeds",
}
_MOVERS: dict[str, str] = {"row": "Rows"} | {str(each): name for each, name in SOURCES.items()}


@dataclass(frozen=True)
class Pair:
    """One property of both finalists."""

    label: str
    prompt: str
    fine_tune: str


def told(found: Consistency) -> str:
    """On what it was measured, and whether the fine-tune answers more alike."""
    who = "Both finalists were" if len(found.arms) > 1 else f"{found.arms[0].name} was"
    varied = [f"{SOURCES[each].lower()} ({_fewest(found, each)})" for each in found.compared]
    said = (
        f"{who} asked again on {values.count(found.rows)} of {values.count(found.of)} dev rows: "
        f"{', '.join(varied)}."
    )
    if found.difference is None:
        return said
    return (
        f"{said} The share of answers that stay the same differs by "
        f"{values.interval(found.difference, signed=True)}, fine-tune minus prompt, paired by row "
        f"({values.p_value(found.p_value)})."
    )


def kept_rows(found: Consistency) -> list[Pair]:
    """Share of answers that stay the same, source by source, then over all that were compared."""
    rows = [_pair(found, SOURCES[each], partial(_kept, source=each)) for each in _measured(found)]
    return [*rows, _pair(found, "All compared", lambda arm: values.interval(arm.kept))]


def score_rows(found: Consistency) -> list[Pair]:
    """Scores at their worst: of each row's answers, and of the variations of each source."""
    answers = _pair(
        found, "Each row's lowest score, mean", lambda arm: values.score(arm.worst_answer)
    )
    return [
        answers,
        *(
            _pair(found, f"{SOURCES[each]}: lowest mean score", partial(_worst, source=each))
            for each in _measured(found)
        ),
    ]


def mover_rows(found: Consistency) -> list[Pair]:
    """What moves the score of one answer, as standard deviations."""
    return [
        _pair(found, name, partial(_moved, mover=mover))
        for mover, name in _MOVERS.items()
        if any(mover in arm.variance for arm in found.arms)
    ]


def variation_rows(found: Consistency) -> list[Pair]:
    """Share of answers that each single variation keeps; samples are all alike and left out."""
    names = dict.fromkeys(
        (known.source, each.name)
        for arm in found.arms
        for known in arm.sources
        for each in known.variations
        if known.source != "sample"
    )
    return [
        _pair(found, f"{SOURCES[source]}: {name}", partial(_varied, source=source, name=name))
        for source, name in names
    ]


def _fewest(found: Consistency, source: Source) -> int:
    """Variations that every finalist was asked."""
    return min(len(each.variations) for arm in found.arms if (each := _of(arm, source)))


def _pair(found: Consistency, label: str, tell: Callable[[ArmConsistency], str]) -> Pair:
    cells: dict[Arm, str] = {arm.arm: tell(arm) for arm in found.arms}
    prompt, fine_tune = (
        cells.get("prompt", values.UNMEASURED),
        cells.get("fine-tune", values.UNMEASURED),
    )
    return Pair(label, prompt, fine_tune)


def _measured(found: Consistency) -> list[Source]:
    """Sources that some finalist was measured on."""
    return [source for source in SOURCES if any(_of(arm, source) for arm in found.arms)]


def _of(arm: ArmConsistency, source: Source) -> Steady | None:
    return next((each for each in arm.sources if each.source == source), None)


def _kept(arm: ArmConsistency, source: Source) -> str:
    known = _of(arm, source)
    return values.interval(known.kept if known else None)


def _worst(arm: ArmConsistency, source: Source) -> str:
    known = _of(arm, source)
    return values.score(known.worst if known else None)


def _moved(arm: ArmConsistency, mover: str) -> str:
    variance = arm.variance.get(mover)
    return values.score(None if variance is None else variance**0.5)


def _varied(arm: ArmConsistency, source: Source, name: str) -> str:
    known = _of(arm, source)
    kept = {each.name: each.kept for each in known.variations} if known else {}
    return values.score(kept.get(name))
