"""Takes what users say about an answer: a rating, a correction, a comment."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from trimtab.errors import DatabaseUnavailable
from trimtab.serve.openai_format import clean
from trimtab.serve.refusal import Refused
from trimtab.store.database import Database
from trimtab.store.traces import Feedback, add_feedback, get_trace, new_id
from trimtab.task.contract import canonical_target, violation
from trimtab.task.spec import Task

_FIELDS = {"trace", "rating", "correction", "comment"}
_ID = re.compile(r"(?:chatcmpl-|cmpl-)?([0-9a-f]{28})")


class FeedbackBook:
    """Keeps feedback on the traces of one task."""

    def __init__(
        self, open_database: Callable[[], Database], redact: Callable[[str], str], task: Task
    ) -> None:
        self._open = open_database
        self._redact = redact
        self._task = task
        self._database: Database | None = None
        self._lock = threading.Lock()

    async def take(self, fields: Mapping[str, Any]) -> Feedback:
        """Check, redact and store; on return it is on the disk.

        Raises:
            Refused: it says nothing, its correction breaks the task's contract, or there is no
                such trace.
            DatabaseUnavailable: it could not be stored.
        """
        trace = _trace_id(fields.get("trace"))
        if unknown := fields.keys() - _FIELDS:
            raise Refused(400, f"unknown field {min(unknown)[:60]!r}")
        correction, comment = self._correction(fields), _text(fields, "comment")
        rating = _rating(fields)
        if rating is None and correction is None and comment is None:
            raise Refused(400, "give a 'rating', a 'correction' or a 'comment'")
        feedback = Feedback(
            id=new_id(),
            trace=trace,
            task=self._task.name,
            time=datetime.now(UTC),
            rating=rating,
            correction=correction and self._redact(correction),
            comment=comment and self._redact(comment),
        )
        await asyncio.to_thread(self._store, feedback)
        return feedback

    def close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _correction(self, fields: Mapping[str, Any]) -> str | None:
        """What the answer should have been, as a target is written."""
        given = fields.get("correction")
        if given is None:
            return None
        try:
            text = canonical_target(self._task.output, given)
            problem = violation(self._task.output, text)
        except RecursionError:
            raise Refused(400, "the correction is nested too deeply", param="correction") from None
        if problem is not None:
            raise Refused(
                400, f"the correction breaks the task's contract: {problem}", param="correction"
            )
        return clean(text, "correction")

    def _store(self, feedback: Feedback) -> None:
        """Write it, over a new connection where the old one is lost."""
        with self._lock:
            for last_try in (False, True):
                try:
                    self._write(feedback)
                    return
                except DatabaseUnavailable:
                    self.close()
                    if last_try:
                        raise

    def _write(self, feedback: Feedback) -> None:
        if self._database is None:
            self._database = self._open()
        if get_trace(self._database, self._task.name, feedback.trace) is None:
            raise Refused(404, "there is no such trace", code="trace_not_found")
        add_feedback(self._database, feedback)


def _trace_id(given: object) -> str:
    """The id, from an answer's header or from its `id`."""
    found = _ID.fullmatch(given) if isinstance(given, str) else None
    if found is None:
        raise Refused(400, "'trace' must be the id of an answer", param="trace")
    return found[1]


def _rating(fields: Mapping[str, Any]) -> Literal["up", "down"] | None:
    match fields.get("rating"):
        case None:
            return None
        case "up":
            return "up"
        case "down":
            return "down"
    raise Refused(400, "'rating' must be 'up' or 'down'", param="rating")


def _text(fields: Mapping[str, Any], name: str) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused(400, f"{name!r} must be text", param=name)
    return clean(value, name)
