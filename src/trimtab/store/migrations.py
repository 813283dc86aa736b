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
    (
        "CREATE TABLE reviewers (id TEXT NOT NULL PRIMARY KEY, task TEXT NOT NULL,"
        " name TEXT NOT NULL, role TEXT NOT NULL, secret TEXT NOT NULL,"
        " created DOUBLE PRECISION NOT NULL, who TEXT NOT NULL, revoked DOUBLE PRECISION)",
        "CREATE TABLE review_sessions (sha256 TEXT NOT NULL PRIMARY KEY, task TEXT NOT NULL,"
        " reviewer TEXT NOT NULL, expires DOUBLE PRECISION NOT NULL)",
        # A batch is one draw from the calls, or rows, up to and with `until`.
        "CREATE TABLE review_batches (task TEXT NOT NULL, number BIGINT NOT NULL,"
        " time DOUBLE PRECISION NOT NULL, source TEXT NOT NULL, until TEXT NOT NULL,"
        " frame BIGINT NOT NULL, drawn BIGINT NOT NULL, PRIMARY KEY (task, number))",
        "CREATE TABLE review_items (id TEXT NOT NULL PRIMARY KEY, task TEXT NOT NULL,"
        " batch BIGINT NOT NULL, place DOUBLE PRECISION NOT NULL, source TEXT NOT NULL,"
        " origin TEXT NOT NULL, reason TEXT NOT NULL, probability DOUBLE PRECISION,"
        " state TEXT NOT NULL, score DOUBLE PRECISION, settled DOUBLE PRECISION,"
        " outcome TEXT, content TEXT NOT NULL, UNIQUE (task, source, origin))",
        "CREATE INDEX review_items_in_order ON review_items (task, state, batch, place)",
        "CREATE TABLE reviews (id TEXT NOT NULL PRIMARY KEY, task TEXT NOT NULL,"
        " time DOUBLE PRECISION NOT NULL, item TEXT NOT NULL, reviewer TEXT NOT NULL,"
        " action TEXT NOT NULL, withdrawn DOUBLE PRECISION, content TEXT NOT NULL)",
        "CREATE INDEX reviews_of_item ON reviews (item)",
        "CREATE INDEX reviews_of_reviewer ON reviews (task, reviewer, time)",
        "CREATE TABLE review_requests (id TEXT NOT NULL PRIMARY KEY, task TEXT NOT NULL,"
        " items BIGINT NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL, batch BIGINT)",
        "CREATE TABLE audit_trail (id TEXT NOT NULL PRIMARY KEY, task TEXT NOT NULL,"
        " time DOUBLE PRECISION NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL,"
        " detail TEXT NOT NULL)",
        "CREATE INDEX audit_trail_of_task ON audit_trail (task, time)",
    ),
    (
        # Windows of traffic that were tested, the newest check, alarms, and staged promotions.
        "CREATE TABLE watch_windows (task TEXT NOT NULL, deployment BIGINT NOT NULL,"
        " number BIGINT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (task, deployment, number))",
        "CREATE TABLE watch_checks (task TEXT NOT NULL PRIMARY KEY,"
        " time DOUBLE PRECISION NOT NULL, content TEXT NOT NULL)",
        "CREATE TABLE alarms (id TEXT NOT NULL PRIMARY KEY, task TEXT NOT NULL,"
        " closed DOUBLE PRECISION, content TEXT NOT NULL)",
        "CREATE INDEX alarms_of_task ON alarms (task, id)",
        "CREATE TABLE rollouts (task TEXT NOT NULL, number BIGINT NOT NULL,"
        " content TEXT NOT NULL, PRIMARY KEY (task, number))",
    ),
    (
        # What the watch counted so far, so that each call is read once.
        "CREATE TABLE watch_counts (task TEXT NOT NULL, name TEXT NOT NULL,"
        " content TEXT NOT NULL, PRIMARY KEY (task, name))",
    ),
)
"""Tables of a database with all steps done: deployments, traces, feedback, keys; reviewers,
review_sessions, review_batches, review_items, reviews, review_requests,
audit_trail."""
