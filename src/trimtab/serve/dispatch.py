"""Brings concurrent calls to an engine that computes one batch at a time."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from trimtab.serve.calls import Busy

AskedT = TypeVar("AskedT")
AnswerT = TypeVar("AnswerT")

_BACKGROUND_BATCH = 8
"""A call that arrives while shadows are answered waits for no more than so many of them."""


@dataclass
class _Job(Generic[AskedT, AnswerT]):
    asked: AskedT
    future: Future[AnswerT] = field(default_factory=Future)


class Dispatcher(Generic[AskedT, AnswerT]):
    """A thread that takes waiting calls in the order of their arrival, `batch` at a time.

    Whatever arrives while a batch runs is the next one. Background calls (shadows) run only when no
    other call waits.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[AskedT]], Sequence[AnswerT]],
        *,
        batch: int,
        most_waiting: int,
    ) -> None:
        """`answer` gives one answer for each call, in their order; what it raises ends all calls of
        its batch."""
        self._answer = answer
        self._batch = batch
        self._most = most_waiting
        self._front: deque[_Job[AskedT, AnswerT]] = deque()
        self._back: deque[_Job[AskedT, AnswerT]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="trimtab-dispatch", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Calls that wait for their batch, shadows included."""
        return len(self._front) + len(self._back)

    def submit(self, asked: AskedT, *, background: bool = False) -> Future[AnswerT]:
        """Queue one call. A future that is cancelled before its turn is passed over.

        Raises:
            Busy: too many calls wait already; shadows have a queue of their own.
        """
        job: _Job[AskedT, AnswerT] = _Job(asked)
        queue = self._back if background else self._front
        with self._changed:
            if self._closed:
                raise RuntimeError("this dispatcher is closed")
            if len(queue) >= self._most:
                raise Busy
            queue.append(job)
            self._changed.notify()
        return job.future

    async def finish(self) -> None:
        """Take no more calls; those that wait are still answered. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        await asyncio.to_thread(self._thread.join)

    def _work(self) -> None:
        while jobs := self._next():
            taken = [job for job in jobs if job.future.set_running_or_notify_cancel()]
            if not taken:
                continue
            try:
                answers = self._answer([job.asked for job in taken])
                for job, answer in zip(taken, answers, strict=True):
                    job.future.set_result(answer)
            except BaseException as error:  # the callers wait, and must hear of it
                for job in taken:
                    if not job.future.done():
                        job.future.set_exception(error)

    def _next(self) -> list[_Job[AskedT, AnswerT]]:
        """What to answer next; empty once closed and done."""
        with self._changed:
            self._changed.wait_for(lambda: self._front or self._back or self._closed)
            if self._front:
                return _take(self._front, self._batch)
            return _take(self._back, min(self._batch, _BACKGROUND_BATCH))


def _take(queue: deque[_Job[AskedT, AnswerT]], most: int) -> list[_Job[AskedT, AnswerT]]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]
