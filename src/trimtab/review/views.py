"""What the page of one item shows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from trimtab.review.diff import Piece, changes
from trimtab.review.forms import RAW, FormField, form_fields
from trimtab.review.signals import REASONS
from trimtab.store.reviews import JUDGED, Item, Review, State
from trimtab.task.contract import strict_json
from trimtab.types import OutputContract

MOST_BUTTONS = 20
"""Labels beyond this are a list to choose from, not a button each."""
LABEL = "label"
TEXT = "text"


def midnight() -> datetime:
    """When today began, in UTC: pages count by such days."""
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(frozen=True)
class Difference:
    """One part of an answer, before and after; empty where it is absent."""

    label: str
    before: str
    after: str


@dataclass(frozen=True)
class Other:
    """Another answer than the model's: as the parts that differ, or as a text with its changes."""

    number: str
    text: str
    parts: tuple[Difference, ...] = ()
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class ItemView:
    """All of it as text that the template escapes."""

    item: Item
    state: State
    why: tuple[str, ...]
    labels: tuple[str, ...]
    """With a button each; `many_labels` are chosen from a list."""
    many_labels: tuple[str, ...]
    fields: tuple[FormField, ...]
    """Parts of the answer, or those that hold what a form said."""
    absent: tuple[FormField, ...]
    raw: str | None
    """The answer as JSON text, where it cannot be shown by fields."""
    text: str | None
    others: tuple[Other, ...]
    said: tuple[Other, ...]
    """What the two reviewers of a torn item said; they stay unnamed."""
    preview: tuple[Piece, ...] = ()
    comment: str = ""
    problem: str | None = None
    problem_field: str | None = None


def item_view(
    contract: OutputContract,
    item: Item,
    state: State,
    reviews: Sequence[Review],
    posted: Mapping[str, str] | None = None,
    problem: str | None = None,
    problem_field: str | None = None,
) -> ItemView:
    """`posted` is a form that could not be taken; the page shows again what it says."""
    said = posted or {}
    fields = form_fields(contract, item.answer) if contract.kind == "json" else []
    shown = [field for field in fields if field.present or field.required or said.get(field.name)]
    raw = item.answer if contract.kind == "json" and not fields else None
    few = len(contract.labels) <= MOST_BUTTONS
    torn = [review for review in reviews if review.action in JUDGED and not review.adjudicates]
    text = said.get(TEXT, item.answer) if contract.kind == "text" else None
    changed = text is not None and text != item.answer
    return ItemView(
        item=item,
        state=state,
        why=tuple(detail or REASONS[name] for name, detail in item.reasons.items())
        or (REASONS[item.reason],),
        labels=contract.labels if few else (),
        many_labels=() if few else contract.labels,
        fields=tuple(_with(field, said) for field in shown),
        absent=tuple(field for field in fields if field not in shown),
        raw=None if raw is None else said.get(RAW, _indented(raw)),
        text=text,
        others=tuple(
            _other(contract, str(number), item.answer, other)
            for number, other in enumerate(item.others)
        ),
        said=tuple(_said(contract, item, review) for review in torn) if state == "torn" else (),
        preview=tuple(changes(item.answer, text or "")) if changed else (),
        comment=said.get("comment", ""),
        problem=problem,
        problem_field=problem_field,
    )


def differences(contract: OutputContract, before: str, after: str) -> list[Difference]:
    """The parts in which two JSON answers differ."""
    one = {field.name: field for field in form_fields(contract, before)}
    other = {field.name: field for field in form_fields(contract, after)}
    found = []
    for name in dict.fromkeys([*one, *other]):
        old = one[name].value if name in one else ""
        new = other[name].value if name in other else ""
        if old != new:
            found.append(Difference((one.get(name) or other[name]).label, old, new))
    return found


def _other(contract: OutputContract, number: str, answer: str, text: str) -> Other:
    if contract.kind == "label":
        return Other(number, text)
    if contract.kind == "json" and (parts := differences(contract, answer, text)):
        return Other(number, text, parts=tuple(parts))
    return Other(number, text, pieces=tuple(changes(answer, text)))


def _said(contract: OutputContract, item: Item, review: Review) -> Other:
    if review.target is None:
        return Other(review.id, "The answer is wrong; what is right was not said.")
    if review.target == item.answer:
        return Other(review.id, "The answer is right.")
    return _other(contract, review.id, item.answer, review.target)


def _with(field: FormField, posted: Mapping[str, str]) -> FormField:
    return replace(field, value=posted.get(field.name, field.value))


def _indented(text: str) -> str:
    """JSON in lines, as it is to be edited; other text as it is."""
    try:
        return json.dumps(strict_json(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text
