"""Traces, served calls as they were kept, and the feedback that people gave on them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from trimtab.store.database import Database
from trimtab.store.deployments import Role
from trimtab.types import Noun

_PAGE = 500


class Trace(Noun):
    """One served call. Texts are as they were stored: after redaction.

    `weight` is how many calls this one stands for: 1 over the share of calls that are kept.
    """

    id: str
    """Begins with the time, so that ids sort by age."""
    task: str
    time: datetime
    role: Role
    variant: str
    run: str
    deployment: int
    """Number of the change that was in force."""
    of: str | None = None
    """For a shadow: the trace of the answer that the caller got."""
    input: str
    output: str | None
    """None where the call failed."""
    valid: bool | None
    """Whether the output keeps the contract; None where there is none."""
    problem: str | None = None
    """Why it is not valid, or why the call failed."""
    tokens_in: int | None = None
    tokens_cached: int | None = None
    tokens_out: int | None = None
    latency_s: float
    """From the arrival of the call to the answer, waiting included."""
    weight: float = 1.0
    redacted: bool = False
    """Whether something was masked in it."""


class Feedback(Noun):
    """What a user of an answer said about it."""

    id: str
    trace: str
    task: str
    time: datetime
    rating: Literal["up", "down"] | None = None
    correction: str | None = None
    """What the answer should have been."""
    comment: str | None = None


def new_id(moment: float | None = None) -> str:
    """48 bits of milliseconds and 64 random ones, in hex."""
    milliseconds = int((time.time() if moment is None else moment) * 1000)
    return f"{milliseconds:012x}{secrets.token_hex(8)}"


def add_traces(database: Database, traces: Sequence[Trace]) -> None:
    """Write all of them in one transaction; on return they are on the disk."""
    with database.transaction():
        database.insert(
            "traces",
            "id, task, role, variant, content",
            [(t.id, t.task, t.role, t.variant, t.model_dump_json()) for t in traces],
        )


def get_trace(database: Database, task: str, trace: str) -> Trace | None:
    rows = database.query("SELECT content FROM traces WHERE task = ? AND id = ?", (task, trace))
    return Trace.model_validate_json(rows[0][0]) if rows else None


def get_traces(database: Database, task: str, traces: Sequence[str]) -> list[Trace]:
    """Those of these ids that are still kept, by age."""
    found: list[Trace] = []
    ordered = sorted(traces)
    for start in range(0, len(ordered), _PAGE):
        part = ordered[start : start + _PAGE]
        rows = database.query(
            "SELECT content FROM traces WHERE task = ?"  # noqa: S608 - only places for values
            f" AND id IN ({', '.join('?' * len(part))}) ORDER BY id",
            (task, *part),
        )
        found += [Trace.model_validate_json(content) for (content,) in rows]
    return found


def read_traces(
    database: Database,
    task: str,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    role: Role | None = None,
    variant: str | None = None,
) -> Iterator[Trace]:
    """Traces of the task from `since` to before `until`, the oldest first, read in pages; those of
    one role and variant where these are named."""
    after = _first_id(since) if since else ""
    before = _first_id(until) if until else "g"  # sorts after every hex digit
    chosen = {"role": role, "variant": variant}
    named = {column: value for column, value in chosen.items() if value is not None}
    clauses = "".join(f" AND {column} = ?" for column in named)
    while True:
        rows = database.query(
            f"SELECT id, content FROM traces WHERE task = ? AND id > ? AND id < ?{clauses}"  # noqa: S608 - columns named above
            " ORDER BY id LIMIT ?",
            (task, after, before, *named.values(), _PAGE),
        )
        for _, content in rows:
            yield Trace.model_validate_json(content)
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def count_calls(database: Database, task: str, since: datetime, until: datetime) -> dict[Role, int]:
    """Kept calls from `since` to before `until`, by role."""
    rows = database.query(
        "SELECT role, COUNT(*) FROM traces WHERE task = ? AND id > ? AND id < ? GROUP BY role",
        (task, _first_id(since), _first_id(until)),
    )
    return {role: int(count) for role, count in rows}


def add_feedback(database: Database, feedback: Feedback) -> None:
    """Write it; on return it is on the disk."""
    with database.transaction():
        database.insert(
            "feedback",
            "id, task, trace, content",
            [(feedback.id, feedback.task, feedback.trace, feedback.model_dump_json())],
        )


def read_feedback(database: Database, task: str, trace: str) -> list[Feedback]:
    """What was said about one trace, the oldest first."""
    rows = database.query(
        "SELECT content FROM feedback WHERE task = ? AND trace = ? ORDER BY id", (task, trace)
    )
    return [Feedback.model_validate_json(content) for (content,) in rows]


def feedback_since(database: Database, task: str, since: datetime) -> list[Feedback]:
    """All that was said from `since` on, the oldest first."""
    rows = database.query(
        "SELECT content FROM feedback WHERE task = ? AND id > ? ORDER BY id",
        (task, _first_id(since)),
    )
    return [Feedback.model_validate_json(content) for (content,) in rows]


def prune(database: Database, task: str, older_than: datetime, most: int = 1000) -> int:
    """Delete up to `most` of the task's oldest traces from before `older_than`, with the feedback
    on them; how many. In pieces, so that no write waits long for the lock."""
    with database.transaction():
        ids = [
            row[0]
            for row in database.query(
                "SELECT id FROM traces WHERE task = ? AND id < ? ORDER BY id LIMIT ?",
                (task, _first_id(older_than), most),
            )
        ]
        if ids:
            database.query(
                "DELETE FROM feedback WHERE task = ? AND trace IN"
                " (SELECT id FROM traces WHERE task = ? AND id <= ?)",
                (task, task, ids[-1]),
            )
            database.query("DELETE FROM traces WHERE task = ? AND id <= ?", (task, ids[-1]))
    return len(ids)


def _first_id(moment: datetime) -> str:
    """Smaller than every id of that millisecond, larger than all before."""
    return f"{int(moment.timestamp() * 1000):012x}"
