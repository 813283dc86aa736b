"""Named reviewers of a task and their sessions. Of passwords and tokens, only hashes are kept."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from datetime import UTC, datetime
from typing import Literal

from trimtab.errors import InputError
from trimtab.store.database import Database
from trimtab.store.traces import new_id
from trimtab.types import Noun

ReviewerRole = Literal["reviewer", "admin"]

SHORTEST_PASSWORD = 10
LONGEST_PASSWORD = 200
_GENERATED_BYTES = 15
_TOKEN_BYTES = 32
_WORK, _BLOCK, _PARALLEL = 2**15, 8, 1
"""scrypt with 32 MB for one try; RFC 7914 names these parameters, OWASP asks for as much work."""
_SCRYPT_MEMORY = 64 * 2**20


class Reviewer(Noun):
    """A person who may review, as they are kept."""

    id: str
    task: str
    name: str
    """As it stands in `approved_by`; among those in use, each is there once."""
    role: ReviewerRole
    secret: str
    """Salted scrypt hash of the password."""
    created: datetime
    who: str
    revoked: datetime | None = None


def new_password() -> str:
    """A random one, for a person to keep in a password manager."""
    return secrets.token_urlsafe(_GENERATED_BYTES)


def hash_password(password: str, salt: bytes | None = None) -> str:
    salt = secrets.token_bytes(16) if salt is None else salt
    digest = hashlib.scrypt(
        password.encode(), salt=salt, n=_WORK, r=_BLOCK, p=_PARALLEL, maxmem=_SCRYPT_MEMORY
    )
    return f"scrypt${salt.hex()}${digest.hex()}"


def password_is(reviewer: Reviewer | None, password: str) -> bool:
    """Whether it is this reviewer's. Takes as long where there is no such reviewer, so that its
    time does not tell which names exist."""
    kept = _NOBODY if reviewer is None else reviewer.secret
    salt = bytes.fromhex(kept.split("$")[1])
    same = hmac.compare_digest(hash_password(password[:LONGEST_PASSWORD], salt), kept)
    return same and reviewer is not None


_NOBODY = f"scrypt${'00' * 16}${'00' * 64}"


def add_reviewer(
    database: Database, task: str, name: str, role: ReviewerRole, password: str, who: str
) -> Reviewer:
    """Keep a new reviewer.

    Raises:
        InputError: the name is taken or empty, or the password is too short or too long.
    """
    name = " ".join(name.split())
    if not name or len(name) > 100 or not name.isprintable():
        raise InputError("a reviewer's name has 1 to 100 visible characters")
    if not SHORTEST_PASSWORD <= len(password) <= LONGEST_PASSWORD:
        raise InputError(
            f"a password has {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters; leave it out "
            "and one is made"
        )
    reviewer = Reviewer(
        id=new_id(),
        task=task,
        name=name,
        role=role,
        secret=hash_password(password),
        created=datetime.fromtimestamp(time.time(), UTC),
        who=who,
    )
    with database.transaction(lock="reviewers"):
        if find_reviewer(database, task, name) is not None:
            raise InputError(f"task {task} has a reviewer {name!r} already; revoke that one first")
        database.query(
            "INSERT INTO reviewers (id, task, name, role, secret, created, who)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                reviewer.id,
                task,
                name,
                role,
                reviewer.secret,
                reviewer.created.timestamp(),
                who,
            ),
        )
    return reviewer


def list_reviewers(database: Database, task: str) -> list[Reviewer]:
    """All reviewers of the task, revoked ones too, the oldest first."""
    return _read(database, "WHERE task = ? ORDER BY id", (task,))


def find_reviewer(database: Database, task: str, name: str) -> Reviewer | None:
    """The reviewer in use with this name."""
    found = _read(database, "WHERE task = ? AND name = ? AND revoked IS NULL", (task, name))
    return found[0] if found else None


def revoke_reviewer(database: Database, task: str, name: str) -> Reviewer:
    """Let a reviewer in no more, and end their sessions. What they said stays.

    Raises:
        InputError: the task has no such reviewer in use.
    """
    with database.transaction(lock="reviewers"):
        found = find_reviewer(database, task, name)
        if found is None:
            raise InputError(f"task {task} has no reviewer {name!r} in use")
        database.query("UPDATE reviewers SET revoked = ? WHERE id = ?", (time.time(), found.id))
        database.query("DELETE FROM review_sessions WHERE reviewer = ?", (found.id,))
    return found


def open_session(database: Database, reviewer: Reviewer, hours: float) -> str:
    """Begin a session; returns its token, for the only time."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    now = time.time()
    with database.transaction():
        database.query("DELETE FROM review_sessions WHERE expires < ?", (now,))
        database.query(
            "INSERT INTO review_sessions (sha256, task, reviewer, expires) VALUES (?, ?, ?, ?)",
            (_sha256(token), reviewer.task, reviewer.id, now + hours * 3600),
        )
    return token


def session_reviewer(database: Database, task: str, token: str) -> Reviewer | None:
    """Whose session it is; None where it has ended, or the reviewer was revoked."""
    found = _read(
        database,
        "WHERE revoked IS NULL AND task = ? AND id ="
        " (SELECT reviewer FROM review_sessions WHERE sha256 = ? AND task = ? AND expires > ?)",
        (task, _sha256(token), task, time.time()),
    )
    return found[0] if found else None


def close_session(database: Database, token: str) -> None:
    with database.transaction():
        database.query("DELETE FROM review_sessions WHERE sha256 = ?", (_sha256(token),))


def device_token(reviewer: Reviewer) -> str:
    """Proves that this person once signed in where it is kept; good until the password changes.
    Who holds it can do nothing but try passwords of this one person."""
    nonce = secrets.token_urlsafe(16)
    return f"{nonce}.{_device_proof(reviewer, nonce)}"


def device_is(reviewer: Reviewer, token: str) -> bool:
    nonce, _, proof = token.partition(".")
    return hmac.compare_digest(proof.encode(), _device_proof(reviewer, nonce).encode())


def _device_proof(reviewer: Reviewer, nonce: str) -> str:
    message = f"device {reviewer.id} {nonce}"
    return hmac.new(reviewer.secret.encode(), message.encode(), hashlib.sha256).hexdigest()


def form_token(session_token: str) -> str:
    """What a form of this session carries, so that no other site can send one in its name."""
    return hmac.new(session_token.encode(), b"form", hashlib.sha256).hexdigest()


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _read(database: Database, where: str, values: tuple[str | float, ...]) -> list[Reviewer]:
    rows = database.query(
        f"SELECT id, task, name, role, secret, created, who, revoked FROM reviewers {where}",  # noqa: S608 - the clauses above
        values,
    )
    return [
        Reviewer(
            id=row[0],
            task=row[1],
            name=row[2],
            role=row[3],
            secret=row[4],
            created=datetime.fromtimestamp(row[5], UTC),
            who=row[6],
            revoked=None if row[7] is None else datetime.fromtimestamp(row[7], UTC),
        )
        for row in rows
    ]
