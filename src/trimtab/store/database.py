"""The database of production: a SQLite file by default, PostgreSQL by URL.

SQL is written once for both, with `?` in the place of each value. What was committed survives a
kill of any process; PostgreSQL's commits, and those of a `synced` SQLite, a loss of power as well.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from trimtab.errors import DatabaseUnavailable, InputError
from trimtab.store.migrations import MIGRATIONS

Value = str | int | float | None

DATABASE_VARIABLE = "TRIMTAB_DATABASE"
_FILE = "production.sqlite"
_POSTGRES = ("postgresql", "postgres")
_BUSY_S = 5.0
"""How long a write waits for another process's; group commits take milliseconds."""
_LOG_PAGES = 16_000
"""Pages in SQLite's log, 64 MB, at which a commit moves them into the file itself."""
_MIGRATION_LOCK = 7_211_071
"""Any number, as long as all versions use the same one."""


class _Backend(Protocol):
    """What differs between the two."""

    begin: str

    def execute(self, sql: str, values: Sequence[Value]) -> list[tuple[Any, ...]]: ...
    def checkpoint(self) -> None: ...
    def lock(self, table: str) -> None: ...
    def lock_migrations(self) -> None: ...
    def close(self) -> None: ...


class Database:
    """One connection, used by one thread at a time.

    `synced` makes SQLite wait for the disk at each commit, which takes milliseconds where handing
    it to the system takes a tenth of one.

    Raises:
        DatabaseUnavailable: from every method, where the database cannot be reached, is locked
            for too long, or cannot write. A transaction that raises has changed nothing.
        InputError: on opening, where the URL is none or a newer Trimtab wrote the database.
    """

    def __init__(self, url: str, *, synced: bool = True) -> None:
        self.shown_url = _without_password(url)
        self._depth = 0
        if urlsplit(url).scheme in _POSTGRES:
            self._backend: _Backend = _Postgres(url, self.shown_url)
        else:
            self._backend = _Sqlite(_sqlite_path(url), synced)
        try:
            self._migrate()
        except BaseException:
            self._backend.close()
            raise

    def query(self, sql: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        """All rows of one statement."""
        return self._backend.execute(sql, values)

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Value]]) -> None:
        """Insert `rows` as few statements; a row whose key is there already is passed over."""
        width = columns.count(",") + 1
        one = f"({', '.join('?' * width)})"
        most = _MOST_VALUES // width
        for start in range(0, len(rows), most):
            part = rows[start : start + most]
            places = ", ".join([one] * len(part))
            values = [value for row in part for value in row]
            self.query(
                f"INSERT INTO {table} ({columns}) VALUES {places} ON CONFLICT DO NOTHING",  # noqa: S608 - names are the callers' own
                values,
            )

    @contextmanager
    def transaction(self, lock: str | None = None) -> Iterator[None]:
        """All statements inside are done together or not at all. Inside another transaction they
        are a part of that one, and done when it is.

        `lock` names a table that no one else may write to meanwhile; reading goes on.
        """
        inner = f"inner_{self._depth}"
        begin, end, undo = (
            (f"SAVEPOINT {inner}", f"RELEASE SAVEPOINT {inner}", f"ROLLBACK TO SAVEPOINT {inner}")
            if self._depth
            else (self._backend.begin, "COMMIT", "ROLLBACK")
        )
        self._backend.execute(begin, ())
        self._depth += 1
        try:
            if lock is not None:
                self._backend.lock(lock)
            yield
            self._backend.execute(end, ())
        except BaseException:
            self._undo(undo)
            raise
        finally:
            self._depth -= 1

    def checkpoint(self) -> None:
        """Move SQLite's log into its file, as far as that goes without stopping writers. A server
        does it beside its writes; else a commit would now and then wait for the disk to do it."""
        self._backend.checkpoint()

    def close(self) -> None:
        self._backend.close()

    def _undo(self, statement: str) -> None:
        try:
            self._backend.execute(statement, ())
        except DatabaseUnavailable:
            return  # the connection is gone, and the transaction with it

    def _migrate(self) -> None:
        """Bring the tables to this version, one numbered step after the other."""
        with self.transaction():
            self._backend.lock_migrations()
            self.query(
                "CREATE TABLE IF NOT EXISTS migrations"
                " (number BIGINT PRIMARY KEY, time DOUBLE PRECISION NOT NULL)"
            )
            ((done,),) = self.query("SELECT COALESCE(MAX(number), 0) FROM migrations")
            if done > len(MIGRATIONS):
                raise InputError(
                    f"the database {self.shown_url} was written by a newer Trimtab (step {done}, "
                    f"and this one knows {len(MIGRATIONS)}); use that one, or another database"
                )
            for number, statements in enumerate(MIGRATIONS[done:], start=done + 1):
                for statement in statements:
                    self.query(statement)
                self.query("INSERT INTO migrations VALUES (?, ?)", (number, time.time()))


def default_url(task_folder: Path) -> str:
    """`TRIMTAB_DATABASE`, or else a SQLite file beside the task file."""
    return os.environ.get(DATABASE_VARIABLE) or str(task_folder / _FILE)


_MOST_VALUES = 900
"""Values in one statement; older SQLite takes 999."""


class _Sqlite:
    begin = "BEGIN IMMEDIATE"  # takes the write lock at once, so that no later step can fail on it

    def __init__(self, path: Path, synced: bool) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(f"PRAGMA synchronous={'FULL' if synced else 'NORMAL'}")
            self._connection.execute(f"PRAGMA wal_autocheckpoint={_LOG_PAGES}")
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from error

    def execute(self, sql: str, values: Sequence[Value]) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise self._unavailable(error) from error

    def checkpoint(self) -> None:
        self.execute("PRAGMA wal_checkpoint(PASSIVE)", ())

    def lock(self, table: str) -> None:
        """BEGIN IMMEDIATE holds the only write lock there is."""

    def lock_migrations(self) -> None:
        """As `lock`."""

    def close(self) -> None:
        self._connection.close()

    def _unavailable(self, error: Exception) -> DatabaseUnavailable:
        return DatabaseUnavailable(
            f"the database {self._path} cannot be used: {error}; check that its folder can be "
            "written, that the disk has room, and that no other program holds it"
        )


class _Postgres:
    begin = "BEGIN"

    def __init__(self, url: str, shown_url: str) -> None:
        try:
            from pg8000 import dbapi
        except ImportError as error:
            raise InputError(
                "a PostgreSQL database needs the extra: pip install 'trimtab[postgres]'"
            ) from error
        self._shown_url = shown_url
        self._errors = (dbapi.DatabaseError, dbapi.InterfaceError, OSError)
        try:
            self._connection = dbapi.connect(**_postgres_settings(url))
        except self._errors as error:
            raise self._unavailable(error) from error
        # Without it, reading would leave a transaction open behind it.
        self._connection.autocommit = True

    def execute(self, sql: str, values: Sequence[Value]) -> list[tuple[Any, ...]]:
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql.replace("?", "%s"), tuple(values))
            if cursor.description is None:
                return []
            return [tuple(row) for row in cursor.fetchall()]
        except self._errors as error:
            raise self._unavailable(error) from error

    def checkpoint(self) -> None:
        """The server does it by itself."""

    def lock(self, table: str) -> None:
        self.execute(f"LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE", ())

    def lock_migrations(self) -> None:
        self.execute(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})", ())

    def close(self) -> None:
        try:
            self._connection.close()
        except self._errors:
            return  # the server closed it first

    def _unavailable(self, error: Exception) -> DatabaseUnavailable:
        detail = error.args[0] if error.args else error
        if isinstance(detail, dict):  # the server's own error, by field; M is the message
            detail = detail.get("M", detail)
        return DatabaseUnavailable(
            f"the database {self._shown_url} cannot be used: {detail}; check the URL, and that "
            "the server is running"
        )


def _postgres_settings(url: str) -> dict[str, Any]:
    """Arguments of pg8000 for `postgresql://user:password@host:port/name?sslmode=require`."""
    parts = urlsplit(url)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    try:
        port = parts.port or 5432
    except ValueError as error:
        raise InputError(f"the database URL {_without_password(url)} has no valid port") from error
    settings: dict[str, Any] = {
        "user": unquote(parts.username or os.environ.get("PGUSER", "postgres")),
        "password": unquote(parts.password) if parts.password else os.environ.get("PGPASSWORD"),
        "database": unquote(parts.path.lstrip("/")) or None,
        "timeout": 10,
        "application_name": "trimtab",
    }
    folder = options.pop("host", None)
    if folder is not None:
        settings["unix_sock"] = f"{folder}/.s.PGSQL.{port}"
    else:
        settings |= {"host": parts.hostname or "localhost", "port": port}
    sslmode = options.pop("sslmode", "disable")
    if options or sslmode not in ("disable", "require"):
        raise InputError(
            f"the database URL {_without_password(url)} may carry `host` (a socket's folder) and "
            "`sslmode` (disable or require), nothing else"
        )
    if sslmode == "require":
        settings["ssl_context"] = True
    return settings


def _sqlite_path(url: str) -> Path:
    scheme, found, path = url.partition("://")
    if not found:
        return Path(url)
    if scheme == "sqlite":
        return Path(unquote(path.removeprefix("/")))  # a fourth slash begins an absolute path
    raise InputError(
        f"{_without_password(url)!r} is no database: give a file, or postgresql://user@host/name"
    )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)
