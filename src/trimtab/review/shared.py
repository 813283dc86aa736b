"""One database connection for all pages, used by one thread at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from trimtab.errors import DatabaseUnavailable
from trimtab.store.database import Database

T = TypeVar("T")


class SharedDatabase:
    """Opens the database when it is first needed, and anew after it was lost."""

    def __init__(self, open_database: Callable[[], Database]) -> None:
        self._open = open_database
        self._database: Database | None = None
        self._lock = threading.Lock()

    async def call(self, work: Callable[[Database], T]) -> T:
        """What `work` gives, done in another thread.

        Raises:
            DatabaseUnavailable: the database cannot be reached; and whatever `work` raises.
        """
        return await asyncio.to_thread(self._call, work)

    def close(self) -> None:
        with self._lock:
            self._close()

    def _call(self, work: Callable[[Database], T]) -> T:
        with self._lock:
            try:
                return work(self._connected())
            except DatabaseUnavailable:
                self._close()
                raise

    def _connected(self) -> Database:
        """A connection that works: one that was lost since the last page is found out before the
        work begins, because work that stops in the middle is not done again."""
        if self._database is not None:
            try:
                self._database.query("SELECT 1")
            except DatabaseUnavailable:
                self._close()
        if self._database is None:
            self._database = self._open()
        return self._database

    def _close(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None
