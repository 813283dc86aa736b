"""What all formats have in common: an item with what was said of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from trimtab.store.database import Database
from trimtab.store.reviews import (
    JUDGED,
    Action,
    Item,
    Outcome,
    Review,
    State,
    items_in,
    outcomes,
    reviews_of,
)


@dataclass(frozen=True)
class Said:
    """One person's judgement in a file. `target` None: the answer is wrong, or was not judged."""

    reviewer: str | None
    action: Action
    target: str | None = None
    comment: str = ""
    time: datetime | None = None


@dataclass(frozen=True)
class Entry:
    """One item of a file. `id` is that of an item here, where it came from here."""

    where: str
    """`file:line`, for messages."""
    id: str | None
    input: str
    answer: str | None
    said: tuple[Said, ...] = ()


@dataclass(frozen=True)
class Exported:
    """One item with its reviews, as they stand."""

    item: Item
    state: State
    outcome: Outcome | None
    reviews: tuple[Review, ...]

    @property
    def judged(self) -> list[Review]:
        return [review for review in self.reviews if review.action in JUDGED]


def exported(database: Database, task: str) -> Iterator[Exported]:
    """All items of the task, by age."""
    settled = {item.id: outcome for item, outcome in outcomes(database, task)}
    for item, state in items_in(database, task):
        reviews = tuple(reviews_of(database, item.id)) if state != "open" or item.needed > 1 else ()
        yield Exported(item, state, settled.get(item.id), reviews)


def read_time(value: object) -> datetime | None:
    """A time as ISO 8601; UTC where no offset is given; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
