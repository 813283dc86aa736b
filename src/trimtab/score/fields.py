"""JSON answers, judged as a whole and field by field.

Values are compared alike everywhere here: strings after collapsing whitespace (case counts),
numbers by value (1 equals 1.0, but not true), lists without regard to order. An item of a list
is compared whole, so that values which belong together in one item cannot be credited to
different ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping

from pydantic import JsonValue

from trimtab.score.base import ContractScorer, Scorer
from trimtab.score.numbers import snapped
from trimtab.task.spec import Scoring
from trimtab.types import OutputContract

METRICS = ("exact", "field_f1", "field_precision", "field_recall")

Path = tuple[str | None, ...]
"""Keys from the root to a leaf; None stands for "some item of this list"."""


def from_contract(contract: OutputContract, scoring: Scoring | None = None) -> Scorer:
    """Scores `exact`, and `field_f1`, `field_precision`, `field_recall` over one row's leaves.

    `scoring.fields` says how far numbers may lie from the target, and what a field weighs in the
    last three. A weight holds for all that lies inside its field, unless that has one of its own.
    """
    fields = scoring.fields if scoring else {}
    keys = {tuple(path.split(".")): field for path, field in fields.items()}
    tolerances = {path: field for path, field in keys.items() if field.absolute or field.relative}
    weights = {path: field.weight for path, field in keys.items()}

    def judge(answer: JsonValue, target: JsonValue) -> dict[str, float]:
        return _compare(snapped(answer, target, tolerances), target, weights)

    return ContractScorer(contract, METRICS, judge)


def leaves(value: JsonValue) -> Counter[tuple[Path, Hashable]]:
    """The multiset of (path, comparable value) pairs of a JSON value.

    Objects are walked; scalars and the items of lists are leaves. Empty objects and empty lists
    have none, so that leaving out an optional empty list costs nothing in the field scores.
    """
    return Counter(_walk((), value))


def _walk(path: Path, value: JsonValue) -> Iterator[tuple[Path, Hashable]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _walk((*path, key), inner)
    elif isinstance(value, list):
        for item in value:
            yield (*path, None), _comparable(item)
    else:
        yield path, _comparable(value)


def _comparable(value: JsonValue) -> Hashable:
    """A hashable stand-in: equal exactly for values that count as the same answer."""
    match value:
        case dict():
            return "object", frozenset((key, _comparable(inner)) for key, inner in value.items())
        case list():
            return "array", frozenset(Counter(_comparable(item) for item in value).items())
        case str():
            return "string", " ".join(value.split())
        case bool():
            return "boolean", value
        case int() | float():
            return "number", value
        case None:
            return "null", None


def _compare(
    answer: JsonValue, target: JsonValue, weights: Mapping[tuple[str, ...], float]
) -> dict[str, float]:
    given, wanted = leaves(answer), leaves(target)
    right = _weight(given & wanted, weights)
    all_given, all_wanted = _weight(given, weights), _weight(wanted, weights)
    return {
        "exact": float(_comparable(answer) == _comparable(target)),
        "field_f1": _share(2 * right, all_given + all_wanted),
        "field_precision": _share(right, all_given, otherwise=not all_wanted),
        "field_recall": _share(right, all_wanted, otherwise=not all_given),
    }


def _weight(
    found: Counter[tuple[Path, Hashable]], weights: Mapping[tuple[str, ...], float]
) -> float:
    """The weights of all leaves. The sum is exact before it is rounded, so no part of `found`
    weighs more than the whole, in whatever order they are added."""
    return math.fsum(_weight_at(path, weights) * count for (path, _), count in found.items())


def _weight_at(path: Path, weights: Mapping[tuple[str, ...], float]) -> float:
    """The weight given to the innermost field around the leaf, else 1."""
    keys = tuple(key for key in path if key is not None)
    for length in range(len(keys), 0, -1):
        if keys[:length] in weights:
            return weights[keys[:length]]
    return 1.0


def _share(part: float, whole: float, *, otherwise: bool = True) -> float:
    """`part / whole`; over nothing 1 when nothing was wanted either, else 0 as is usual."""
    return part / whole if whole else float(otherwise)
