"""The review queue: items drawn from calls and rows, what people said of them, what it came to.

An item is drawn once, with a known probability. Reviews are never changed or deleted; an undone one
is marked as withdrawn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from trimtab.store.database import Database
from trimtab.store.traces import new_id
from trimtab.types import Noun

Source = Literal["trace", "row", "import"]
Action = Literal["approve", "correct", "reject", "skip", "unknown"]
State = Literal["open", "torn", "done"]
"""Torn: two reviewers differ, and a third has to decide."""

JUDGED: tuple[Action, ...] = ("approve", "correct", "reject")
"""Actions that say whether the answer is right."""

_PAGE = 500


class Item(Noun):
    """One input with the answer under review."""

    id: str
    task: str
    batch: int
    place: float
    """Random, from 0 to 1: the order inside the batch, which tells nothing of the item."""
    source: Source
    origin: str
    """Id of the trace, or of the labelled row."""
    reason: str
    """Why it was drawn: the gravest of `reasons`, or `random`."""
    reasons: dict[str, str] = Field(default_factory=dict)
    """All that speaks for a look at it, in words."""
    probability: float | None = Field(default=None, gt=0, le=1)
    """That a call like this one came into the queue, from being captured on. None: not drawn."""
    needed: int = Field(default=1, ge=1, le=2)
    """How many people review it."""
    input: str
    answer: str
    """What the model answered; of a labelled row, its target."""
    problem: str | None = None
    """How the answer breaks the output contract."""
    variant: str | None = None
    run: str | None = None
    time: datetime | None = None
    """When the call was made."""
    others: tuple[str, ...] = ()
    """Answers that other variants gave, or that were suggested."""
    redacted: bool = False
    """Whether something was masked in it when it was stored."""


class Review(Noun):
    """What one person said of one item."""

    id: str
    task: str
    item: str
    reviewer: str
    """A name, as in `approved_by`."""
    time: datetime
    action: Action
    target: str | None = None
    """What the answer should be, for `approve` and `correct`."""
    comment: str | None = None
    adjudicates: bool = False
    """Whether it decides between two earlier reviews."""


class Outcome(Noun):
    """What the reviews of an item came to."""

    action: Literal["approve", "correct", "reject"]
    target: str | None
    by: tuple[str, ...]
    time: datetime


class ReviewedCall(Noun):
    """A call of production whose quality is known: what an estimate of live quality needs."""

    trace: str
    variant: str | None
    score: float
    """The task's metric of the answer against what reviewers said is right; 0 where rejected."""
    probability: float
    """As of `Item`."""
    batch: int
    """The draw that it came in."""
    settled: datetime


class Request(Noun):
    """Someone asks for more items than usual, as an alarm does."""

    id: str
    items: int
    """How many are still to be drawn."""
    who: str
    why: str


class Batch(Noun):
    """One draw from all calls, or rows, that came since the last one."""

    task: str
    number: int
    time: datetime
    source: Source
    until: str
    """The last origin that was in it."""
    frame: int
    """How many there were to draw from."""
    drawn: int


def add_batch(
    database: Database,
    batch: Batch,
    items: Sequence[Item],
    asked: Sequence[Request] = (),
    met: int = 0,
) -> bool:
    """Keep a draw with its items. False, and nothing kept, where another process drew meanwhile.

    Args:
        asked: open requests, and `met` how much of them the draw brings, the oldest first.
    """
    with database.transaction(lock="review_batches"):
        last = last_batch(database, batch.task)
        if last is not None and last.number >= batch.number:
            return False
        database.insert(
            "review_batches",
            "task, number, time, source, until, frame, drawn",
            [
                (
                    batch.task,
                    batch.number,
                    batch.time.timestamp(),
                    batch.source,
                    batch.until,
                    batch.frame,
                    batch.drawn,
                )
            ],
        )
        _insert(database, items)
        for request in asked:
            part = min(met, request.items)
            met -= part
            left = request.items - part
            database.query(
                "UPDATE review_requests SET items = ?, batch = ? WHERE id = ?",
                (left, None if left else batch.number, request.id),
            )
    return True


def last_batch(database: Database, task: str, source: Source | None = None) -> Batch | None:
    where, values = "task = ?", [task]
    if source is not None:
        where, values = "task = ? AND source = ?", [task, source]
    rows = database.query(
        "SELECT task, number, time, source, until, frame, drawn FROM review_batches"  # noqa: S608 - the clauses above
        f" WHERE {where} ORDER BY number DESC LIMIT 1",
        values,
    )
    names = ("task", "number", "time", "source", "until", "frame", "drawn")
    return Batch.model_validate(dict(zip(names, rows[0], strict=True))) if rows else None


def request_items(database: Database, task: str, items: int, who: str, why: str) -> Request:
    """Ask for `items` more than usual, at random, in the next draw from the calls."""
    request = Request(id=new_id(), items=items, who=who, why=why)
    with database.transaction():
        database.query(
            "INSERT INTO review_requests (id, task, items, who, why) VALUES (?, ?, ?, ?, ?)",
            (request.id, task, items, who, why),
        )
    return request


def open_requests(database: Database, task: str) -> list[Request]:
    """Requests that no draw has met in full yet, the oldest first."""
    rows = database.query(
        "SELECT id, items, who, why FROM review_requests WHERE task = ? AND batch IS NULL"
        " ORDER BY id",
        (task,),
    )
    return [Request(id=row[0], items=row[1], who=row[2], why=row[3]) for row in rows]


def get_item(database: Database, task: str, item: str) -> tuple[Item, State] | None:
    rows = database.query(
        "SELECT content, state FROM review_items WHERE task = ? AND id = ?", (task, item)
    )
    return (Item.model_validate_json(rows[0][0]), rows[0][1]) if rows else None


def waiting_items(database: Database, task: str, reviewer: str, most: int = 50) -> list[Item]:
    """Open items that this reviewer has not judged, in their order; skipped ones come last."""
    said = "SELECT 1 FROM reviews r WHERE r.item = i.id AND r.reviewer = ? AND r.withdrawn IS NULL"
    rows = database.query(
        f"SELECT i.content, CASE WHEN EXISTS ({said} AND r.action = 'skip') THEN 1 ELSE 0 END"  # noqa: S608 - the clause above
        " AS skipped FROM review_items i WHERE i.task = ? AND i.state = 'open'"
        f" AND NOT EXISTS ({said} AND r.action <> 'skip')"
        " ORDER BY skipped, i.batch, i.place LIMIT ?",
        (reviewer, task, reviewer, most),
    )
    return [Item.model_validate_json(row[0]) for row in rows]


def items_in(database: Database, task: str, *states: State) -> Iterator[tuple[Item, State]]:
    """Items in any of these states, all where none is named, by age; read in pages."""
    after = ""
    while True:
        rows = database.query(
            "SELECT id, content, state FROM review_items WHERE task = ? AND id > ?"
            " ORDER BY id LIMIT ?",
            (task, after, _PAGE),
        )
        for _, content, state in rows:
            if not states or state in states:
                yield Item.model_validate_json(content), state
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def known_origins(database: Database, task: str, source: Source) -> set[str]:
    rows = database.query(
        "SELECT origin FROM review_items WHERE task = ? AND source = ?", (task, source)
    )
    return {row[0] for row in rows}


def add_review(database: Database, review: Review) -> None:
    """To be called inside a transaction that also settles the item."""
    database.insert(
        "reviews",
        "id, task, time, item, reviewer, action, content",
        [
            (
                review.id,
                review.task,
                review.time.timestamp(),
                review.item,
                review.reviewer,
                review.action,
                review.model_dump_json(),
            )
        ],
    )


def withdraw(database: Database, review: str) -> None:
    """As `add_review`."""
    database.query("UPDATE reviews SET withdrawn = ? WHERE id = ?", (time.time(), review))


def reviews_of(database: Database, item: str) -> list[Review]:
    """The reviews that stand, the oldest first."""
    rows = database.query(
        "SELECT content FROM reviews WHERE item = ? AND withdrawn IS NULL ORDER BY time, id",
        (item,),
    )
    return [Review.model_validate_json(row[0]) for row in rows]


def last_review(database: Database, task: str, reviewer: str) -> Review | None:
    """What this reviewer said last, and did not take back."""
    rows = database.query(
        "SELECT content FROM reviews WHERE task = ? AND reviewer = ? AND withdrawn IS NULL"
        " ORDER BY time DESC, id DESC LIMIT 1",
        (task, reviewer),
    )
    return Review.model_validate_json(rows[0][0]) if rows else None


def all_reviews(database: Database, task: str) -> list[Review]:
    """All reviews that stand, the oldest first."""
    rows = database.query(
        "SELECT content FROM reviews WHERE task = ? AND withdrawn IS NULL ORDER BY time, id",
        (task,),
    )
    return [Review.model_validate_json(row[0]) for row in rows]


def judged_since(database: Database, task: str, reviewer: str, since: datetime) -> int:
    """How many items this reviewer judged, or could not judge, from `since` on."""
    ((count,),) = database.query(
        "SELECT COUNT(*) FROM reviews WHERE task = ? AND reviewer = ? AND time >= ?"
        " AND withdrawn IS NULL AND action <> 'skip'",
        (task, reviewer, since.timestamp()),
    )
    return int(count)


def settle(
    database: Database, item: str, state: State, outcome: Outcome | None, score: float | None
) -> None:
    """As `add_review`. `score` is of the answer, where the outcome says what is right."""
    database.query(
        "UPDATE review_items SET state = ?, outcome = ?, score = ?, settled = ? WHERE id = ?",
        (
            state,
            None if outcome is None else outcome.model_dump_json(),
            score,
            None if outcome is None else outcome.time.timestamp(),
            item,
        ),
    )


def outcomes(database: Database, task: str) -> list[tuple[Item, Outcome]]:
    """Items that are settled, in the order in which they were."""
    rows = database.query(
        "SELECT content, outcome FROM review_items WHERE task = ? AND state = 'done'"
        " AND outcome IS NOT NULL ORDER BY settled, id",
        (task,),
    )
    return [
        (Item.model_validate_json(content), Outcome.model_validate_json(outcome))
        for content, outcome in rows
    ]


def reviewed_calls(database: Database, task: str) -> list[ReviewedCall]:
    """Calls that were drawn and are settled, in the order in which they were."""
    rows = database.query(
        "SELECT content, score, settled FROM review_items WHERE task = ? AND source = 'trace'"
        " AND state = 'done' AND score IS NOT NULL AND probability IS NOT NULL"
        " ORDER BY settled, id",
        (task,),
    )
    calls = []
    for content, score, settled in rows:
        item = Item.model_validate_json(content)
        assert item.probability is not None
        calls.append(
            ReviewedCall(
                trace=item.origin,
                variant=item.variant,
                score=score,
                probability=item.probability,
                batch=item.batch,
                settled=datetime.fromtimestamp(settled, UTC),
            )
        )
    return calls


def count_states(database: Database, task: str) -> dict[tuple[Source, State], int]:
    """How many items of each source are in each state."""
    rows = database.query(
        "SELECT source, state, COUNT(*) FROM review_items WHERE task = ? GROUP BY source, state",
        (task,),
    )
    return {(source, state): int(count) for source, state, count in rows}


def count_waiting(database: Database, task: str, source: Source) -> int:
    """Open items that nobody looked at. What one reviewer cannot judge, or judged and a second one
    has not, waits for other people, and must not keep new items from those who are there."""
    ((count,),) = database.query(
        "SELECT COUNT(*) FROM review_items i WHERE i.task = ? AND i.source = ? AND i.state = 'open'"
        " AND NOT EXISTS (SELECT 1 FROM reviews r WHERE r.item = i.id AND r.withdrawn IS NULL)",
        (task, source),
    )
    return int(count)


def expire(database: Database, task: str, before: datetime) -> None:
    """Delete drawn calls from before a time that are still open, as their traces are. What was said
    of them stays in `reviews`."""
    with database.transaction():
        database.query(
            "DELETE FROM review_items WHERE task = ? AND source = 'trace' AND state = 'open'"
            " AND origin < ?",
            (task, f"{int(before.timestamp() * 1000):012x}"),
        )


def _insert(database: Database, items: Sequence[Item]) -> None:
    database.insert(
        "review_items",
        "id, task, batch, place, source, origin, reason, probability, state, content",
        [
            (
                item.id,
                item.task,
                item.batch,
                item.place,
                item.source,
                item.origin,
                item.reason,
                item.probability,
                "open",
                item.model_dump_json(),
            )
            for item in items
        ],
    )
