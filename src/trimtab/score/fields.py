"""JSON answers, judged as a whole and field by field.

Values are compared alike everywhere here: strings after collapsing whitespace (case counts),
numbers by value (1 equals 1.0, but not true), lists without regard to order. An item of a list
is compared whole, so that values which belong together in one item cannot be credited to
different ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator

from pydantic import JsonValue

from trimtab.score.base import ContractScorer, Scorer
from trimtab.types import OutputContract

Path = tuple[str | None, ...]
"""Keys from the root to a leaf; None stands for "some item of this list"."""


def from_contract(contract: OutputContract) -> Scorer:
    """Scores `exact`, and `field_f1`, `field_precision`, `field_recall` over one row's leaves."""
    metrics = ("exact", "field_f1", "field_precision", "field_recall")
    return ContractScorer(contract, metrics, _judge)


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


def _judge(answer: JsonValue, target: JsonValue) -> dict[str, float]:
    given, wanted = leaves(answer), leaves(target)
    right = (given & wanted).total()
    return {
        "exact": float(_comparable(answer) == _comparable(target)),
        "field_f1": _share(2 * right, given.total() + wanted.total()),
        "field_precision": _share(right, given.total(), otherwise=not wanted),
        "field_recall": _share(right, wanted.total(), otherwise=not given),
    }


def _share(part: int, whole: int, *, otherwise: bool = True) -> float:
    """`part / whole`; over nothing 1 when nothing was wanted either, else 0 as is usual."""
    return part / whole if whole else float(otherwise)
