"""Writes traces without slowing the answers: one thread, many traces in one commit.

A trace is acknowledged once its future says True: it is then on the disk. No timer is needed to
gather them: what arrives while a commit runs goes into the next one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

from trimtab.errors import DatabaseUnavailable
from trimtab.store.database import Database
from trimtab.store.traces import Trace, add_traces, prune

_MOST_WAITING = 10_000
"""Traces in memory while the database does not answer; later ones are lost, and counted."""
_MOST_AT_ONCE = 500
_CHECKPOINT_EVERY_S = 1.0
_PRUNE_EVERY_S = 600.0
_PRUNED_AT_ONCE = 200

_log = logging.getLogger("trimtab.serve")


class Capture:
    """Keeps traces."""

    def __init__(
        self,
        open_database: Callable[[], Database],
        redact: Callable[[str], str],
    ) -> None:
        self._open = open_database
        self._redact = redact
        self._database: Database | None = None
        self._waiting: deque[tuple[Trace, Future[bool]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self.healthy = True
        """Whether the last commit succeeded, and none takes too long."""
        self._thread = threading.Thread(target=self._run, name="trimtab-capture", daemon=True)
        self._thread.start()

    def put(self, trace: Trace) -> Future[bool]:
        """Redact and store `trace`; the future says whether it is on the disk."""
        future: Future[bool] = Future()
        with self._changed:
            if self._closed or len(self._waiting) >= _MOST_WAITING:
                future.set_result(False)
                return future
            self._waiting.append((trace, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Write what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            stored = self._store([trace for trace, _ in batch])
            for _, future in batch:
                if future.set_running_or_notify_cancel():
                    future.set_result(stored)
        if self._database is not None:
            self._database.close()

    def _next(self) -> list[tuple[Trace, Future[bool]]]:
        """Waiting traces; empty once closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            most = min(len(self._waiting), _MOST_AT_ONCE)
            return [self._waiting.popleft() for _ in range(most)]

    def _store(self, traces: list[Trace]) -> bool:
        """Write them, over a new connection where the old one is lost."""
        try:
            ready = [self._redacted(trace) for trace in traces]
            for last_try in (False, True):
                try:
                    add_traces(self._connected(), ready)
                    break
                except Exception:  # after any error, the connection may be in any state
                    self._disconnect()
                    if last_try:
                        raise
            self.healthy = True
        except DatabaseUnavailable as error:
            self.healthy = False
            _log.error("%d traces lost: %s", len(traces), error)
        except Exception:  # whatever it is, answers must go on
            self.healthy = False
            _log.exception("%d traces lost", len(traces))
        return self.healthy

    def _redacted(self, trace: Trace) -> Trace:
        masked = {
            name: self._redact(text)
            for name in ("input", "output", "problem")
            if (text := getattr(trace, name)) is not None
        }
        if all(masked[name] == getattr(trace, name) for name in masked):
            return trace
        return trace.model_copy(update={**masked, "redacted": True})

    def _connected(self) -> Database:
        if self._database is None:
            self._database = self._open()
        return self._database

    def _disconnect(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()


class Upkeep:
    """Keeps the database small, in a thread beside the one that writes: deletes traces that are too
    old, and moves SQLite's log into its file."""

    def __init__(
        self, open_database: Callable[[], Database], task: str, retention: timedelta
    ) -> None:
        self._open = open_database
        self._task = task
        self._retention = retention
        self._started = time.time(), time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="trimtab-upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                database = self._open()
                try:
                    self._keep_small(database)
                finally:
                    database.close()
            except DatabaseUnavailable as error:
                _log.error("old traces cannot be deleted: %s", error)
                self._closed.wait(_PRUNE_EVERY_S)

    def _keep_small(self, database: Database) -> None:
        """Until closed. In pieces, so that no trace waits long for its turn to be written."""
        prune_at = 0.0
        while not self._closed.is_set():
            database.checkpoint()
            wait_s = _CHECKPOINT_EVERY_S
            if time.monotonic() >= prune_at:
                oldest = self._now() - self._retention
                if prune(database, self._task, oldest, _PRUNED_AT_ONCE) == _PRUNED_AT_ONCE:
                    wait_s = 0.05  # there may be more
                else:
                    prune_at = time.monotonic() + _PRUNE_EVERY_S
            self._closed.wait(wait_s)

    def _now(self) -> datetime:
        """The time by the slower of two clocks: where the machine's is set forward by mistake, what
        was kept a moment ago is not old."""
        clock, steady = self._started
        return datetime.fromtimestamp(min(time.time(), clock + time.monotonic() - steady), UTC)
