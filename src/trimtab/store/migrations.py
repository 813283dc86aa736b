"""The tables of the database, as numbered steps. A step that was released is never changed."""

from __future__ import annotations

from typing import Final

MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        # One row is the whole state after one change, so that a change is one insert.
        "CREATE TABLE deployments (task TEXT NOT NULL, number BIGINT NOT NULL,"
        " time DOUBLE PRECISION NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,"
        " origin BIGINT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (task, number))",
        # Ids begin with the time, so the index also answers what came when.
        "CREATE TABLE traces (id TEXT NOT NULL PRIMARY KEY, task TEXT NOT NULL,"
        " role TEXT NOT NULL, variant TEXT NOT NULL, content TEXT NOT NULL)",
        "CREATE INDEX traces_of_task ON traces (task, id)",
        "CREATE TABLE feedback (id TEXT NOT NULL PRIMARY KEY, task TEXT NOT NULL,"
        " trace TEXT NOT NULL, content TEXT NOT NULL)",
        "CREATE INDEX feedback_of_trace ON feedback (trace)",
        "CREATE TABLE keys (id TEXT NOT NULL PRIMARY KEY, task TEXT NOT NULL, name TEXT NOT NULL,"
        " sha256 TEXT NOT NULL UNIQUE, created DOUBLE PRECISION NOT NULL, who TEXT NOT NULL,"
        " revoked DOUBLE PRECISION)",
    ),
)
"""Tables of a database with all steps done: deployments, traces, feedback, keys."""
