"""Brings concurrent calls to an engine on this machine, step by step in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import dataclass, field

from trimtab.engine.base import Event, Stepper
from trimtab.prompt.ask import is_last
from trimtab.serve.calls import Answer, Busy, Call
from trimtab.types import Example, Request

_BACKGROUND_AT_ONCE = 8
"""Shadows in the engine: each takes memory, and a little of the time of calls."""


@dataclass(eq=False)
class _Job:
    call: Call
    background: bool
    future: Future[Answer] = field(default_factory=Future)
    """Never marked as running, so that it can be cancelled until it is answered."""
    talk: Generator[Request, Answer, Answer] | None = None
    heard: int = 0
    """Answers of the engine, of which a conversation may take several."""


class Dispatcher:
    """A thread that takes waiting calls in the order of their arrival, and steps through them.

    A call enters as soon as the engine has room, whatever else is under way, and leaves when its
    future is cancelled. Background calls (shadows) enter only when no other call waits.
    """

    def __init__(
        self, stepper: Stepper, *, at_once: int, most_waiting: int, streams: bool = False
    ) -> None:
        """`at_once` is how many calls the engine may hold beside shadows, `streams` whether it
        gives pieces."""
        self.streams = streams
        self._stepper = stepper
        self._at_once = at_once
        self._most = most_waiting
        self._front: deque[_Job] = deque()
        self._back: deque[_Job] = deque()
        self._jobs: dict[int, _Job] = {}
        """Those that the engine has; touched by the thread alone."""
        self._last_key = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="trimtab-dispatch", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Calls that the engine has not taken yet, shadows included."""
        return len(self._front) + len(self._back)

    def submit(self, call: Call, *, background: bool = False) -> Future[Answer]:
        """Queue one call.

        Raises:
            Busy: too many calls wait already; shadows have a queue of their own.
        """
        job = _Job(call, background)
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
        while self._some():
            for job in self._entering():
                self._begin(job)
            self._let_go()
            try:
                events = self._stepper.step()
            except BaseException as error:  # the callers wait, and must hear of it
                events = [(key, _as_exception(error)) for key in self._jobs]
                for key in self._jobs:
                    self._stepper.leave(key)
            for key, event in events:
                self._hear(key, event)

    def _some(self) -> bool:
        """Wait for work; False once closed and done."""
        if self._jobs:
            return True
        with self._changed:
            self._changed.wait_for(lambda: self._front or self._back or self._closed)
            return bool(self._front or self._back)

    def _entering(self) -> list[_Job]:
        """Those that the engine has room for."""
        entering: list[_Job] = []
        behind = sum(job.background for job in self._jobs.values())
        ahead = len(self._jobs) - behind
        with self._changed:
            while self._front and ahead < self._at_once:
                entering.append(self._front.popleft())
                ahead += 1
            while self._back and not self._front and behind < _BACKGROUND_AT_ONCE:
                entering.append(self._back.popleft())
                behind += 1
        return entering

    def _begin(self, job: _Job) -> None:
        if job.future.cancelled():
            return
        row = Example(id=job.call.id, input=job.call.input, target="")
        self._last_key += 1
        self._jobs[self._last_key] = job
        try:
            job.talk = job.call.served.predictor.conversation(row)
            self._ask(self._last_key, job, next(job.talk))
        except Exception as error:  # of this call alone
            self._end(self._last_key, error)

    def _ask(self, key: int, job: _Job, request: Request) -> None:
        final = is_last(job.call.served.predictor.variant, job.heard)
        stream = final and job.call.on_text is not None
        self._stepper.begin(key, request, stream=stream, background=job.background)

    def _let_go(self) -> None:
        """Calls whose callers left make room."""
        for key, job in list(self._jobs.items()):
            if job.future.cancelled():
                self._stepper.leave(key)
                del self._jobs[key]

    def _hear(self, key: int, event: Event) -> None:
        job = self._jobs[key]
        assert job.talk is not None
        try:
            if isinstance(event, str):
                assert job.call.on_text is not None
                job.call.on_text(event)
            elif isinstance(event, Exception):
                raise event
            else:
                job.heard += 1
                self._ask(key, job, job.talk.send(event))
        except StopIteration as over:
            self._end(key, over.value)
        except Exception as error:
            self._stepper.leave(key)
            self._end(key, error)

    def _end(self, key: int, answer: Answer | Exception) -> None:
        job = self._jobs.pop(key)
        if not job.future.set_running_or_notify_cancel():
            return
        if isinstance(answer, Exception):
            job.future.set_exception(answer)
        else:
            job.future.set_result(answer)


def _as_exception(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else RuntimeError(repr(error))
