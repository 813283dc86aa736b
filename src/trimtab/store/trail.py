"""The audit trail of the review pages: who did what and when. No line is changed or deleted."""

from __future__ import annotations

from datetime import UTC, datetime

from trimtab.store.database import Database
from trimtab.store.traces import new_id
from trimtab.types import Noun


class Step(Noun):
    """One line of the trail. `detail` holds ids and reasons, never a text under review."""

    id: str
    time: datetime
    who: str
    what: str
    detail: str = ""


def note(database: Database, task: str, who: str, what: str, detail: str = "") -> None:
    """Add a line. Inside a transaction, it is there exactly where the rest of that is."""
    now = datetime.now(UTC)
    database.query(
        "INSERT INTO audit_trail (id, task, time, who, what, detail) VALUES (?, ?, ?, ?, ?, ?)",
        (new_id(now.timestamp()), task, now.timestamp(), who, what, detail),
    )


def trail(database: Database, task: str, last: int = 200) -> list[Step]:
    """The last lines, the newest first."""
    rows = database.query(
        "SELECT id, time, who, what, detail FROM audit_trail WHERE task = ?"
        " ORDER BY time DESC, id DESC LIMIT ?",
        (task, last),
    )
    return [
        Step(
            id=row[0],
            time=datetime.fromtimestamp(row[1], UTC),
            who=row[2],
            what=row[3],
            detail=row[4],
        )
        for row in rows
    ]
