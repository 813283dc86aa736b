"""Answers of earlier runs, by the content of the request.

SQLite in WAL mode does what is hard by hand: several processes, a kill in the middle of a write,
a look-up without an index in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from trimtab.engine.base import Engine
from trimtab.errors import DiskFull, InputError
from trimtab.store.files import cache_folder, translate_disk_full
from trimtab.types import Completion, Request, content_hash

_FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}
"""SQLite says FULL for a full disk only; a quota or size limit shows as a failed write."""

_KEY_VERSION = "1"
"""Part of every key: raised when the meaning of a stored row changes."""


class RequestCache:
    """Completions by request, shared by all runs of a user. Failures are never kept."""

    def __init__(self, path: Path) -> None:
        """Open or make the database file at `path`.

        Raises:
            InputError: it is no cache, or its folder cannot be written.
        """
        self._path = path
        with self._translate_errors():
            with translate_disk_full(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=60, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS completions"
                " (key TEXT PRIMARY KEY, completion TEXT NOT NULL) WITHOUT ROWID"
            )

    @staticmethod
    def key(engine: Engine, request: Request, adapter_sha: str | None = None) -> str:
        """Content hash of model, adapter weights and request.

        The adapter counts by its weights and not by its path. The JSON is not sorted: the order
        of a schema's properties is the order in which a constrained answer is written.
        """
        if (request.adapter is None) != (adapter_sha is None):
            raise ValueError("the hash of the adapter's weights goes with a request that has one")
        content = request.model_dump_json(exclude={"adapter"})
        return content_hash(_KEY_VERSION, engine.model_id, adapter_sha or "", content, length=40)

    def get(self, key: str) -> Completion | None:
        """The kept answer, without a latency: it was not measured this time."""
        with self._translate_errors():
            row = self._database.execute(
                "SELECT completion FROM completions WHERE key = ?", (key,)
            ).fetchone()
        return None if row is None else Completion.model_validate_json(row[0])

    def put(self, key: str, completion: Completion) -> None:
        """Keep an answer. The first answer to a request stays: it is what was measured.

        Raises:
            DiskFull: nothing more can be written; what was kept is whole.
        """
        row = completion.model_copy(update={"latency_s": None}).model_dump_json()
        with self._translate_errors():
            self._database.execute("INSERT OR IGNORE INTO completions VALUES (?, ?)", (key, row))

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if error.sqlite_errorcode in _FULL:
                raise DiskFull(
                    f"cannot write the request cache {self._path}: {error}; free space "
                    "and run the same command again; nothing finished is lost"
                ) from error
            raise InputError(f"{self._advice()}: {error}") from error
        except OSError as error:
            raise InputError(f"{self._advice()}: {error.strerror}") from error

    def _advice(self) -> str:
        return (
            f"the request cache {self._path} cannot be used (delete it, or set TRIMTAB_CACHE to "
            "another folder that you can write to)"
        )


def default_cache_path() -> Path:
    """The cache in the user's cache folder."""
    return cache_folder() / "requests.sqlite"
