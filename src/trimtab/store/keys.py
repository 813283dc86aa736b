"""API keys of a task. Only their SHA-256 is kept: a key is shown once, when it is made."""

from __future__ import annotations

import hashlib
import secrets
import time
from datetime import UTC, datetime

from trimtab.errors import InputError
from trimtab.store.database import Database
from trimtab.types import Noun

_PREFIX = "tt_"
_BYTES = 32
"""So many random bytes cannot be guessed, which is why a plain hash protects them at rest."""


class ApiKey(Noun):
    """A key as it is kept."""

    id: str
    """Its first characters: enough to tell which it is, not to use it."""
    name: str
    sha256: str
    created: datetime
    who: str
    revoked: datetime | None = None


def sha256_of_key(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def add_key(database: Database, task: str, name: str, who: str) -> str:
    """Make a key; returns it, for the only time."""
    key = _PREFIX + secrets.token_urlsafe(_BYTES)
    with database.transaction():
        database.query(
            "INSERT INTO keys (id, task, name, sha256, created, who) VALUES (?, ?, ?, ?, ?, ?)",
            (key[:11], task, name, sha256_of_key(key), time.time(), who),
        )
    return key


def list_keys(database: Database, task: str) -> list[ApiKey]:
    """All keys of the task, revoked ones too, the oldest first."""
    rows = database.query(
        "SELECT id, name, sha256, created, who, revoked FROM keys WHERE task = ?"
        " ORDER BY created, id",
        (task,),
    )
    return [
        ApiKey(
            id=row[0],
            name=row[1],
            sha256=row[2],
            created=datetime.fromtimestamp(row[3], UTC),
            who=row[4],
            revoked=None if row[5] is None else datetime.fromtimestamp(row[5], UTC),
        )
        for row in rows
    ]


def revoke_key(database: Database, task: str, key_id: str) -> ApiKey:
    """Revoke the key with this id; a revoked one stays listed.

    Raises:
        InputError: the task has no such key, or it is revoked already.
    """
    with database.transaction():
        found = [key for key in list_keys(database, task) if key.id == key_id]
        if not found or found[0].revoked is not None:
            raise InputError(
                f"task {task} has no key {key_id} in use; `trimtab key list` shows all"
            )
        database.query("UPDATE keys SET revoked = ? WHERE id = ?", (time.time(), key_id))
    return found[0]
