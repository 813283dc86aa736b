"""One call from its input to an answer that may be sent: routed, answered, judged, captured."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from trimtab.errors import EngineUnavailable
from trimtab.serve.calls import Answer, Busy, Call
from trimtab.serve.capture import Capture
from trimtab.serve.live import Live
from trimtab.serve.metrics import Metrics
from trimtab.serve.refusal import Refused
from trimtab.serve.settings import ServeSettings
from trimtab.store.deployments import Role
from trimtab.store.traces import Trace, new_id
from trimtab.task.contract import violation
from trimtab.types import Completion, Failed

_ACKNOWLEDGE_S = 2.0
"""An answer waits no longer for its trace: a database that is stuck does not stop the service."""

_STATUS = {"rate-limit": 429, "timeout": 504}
"""Of a failed call, by its boundary; all others are a bad gateway."""

_log = logging.getLogger("trimtab.serve")


Pending = Future[Answer] | asyncio.Future[Answer]

Pieces = asyncio.Queue[str | None]
"""Of a text as it is written, and None at its end."""


@dataclass(frozen=True)
class Answered:
    """An answer with all that its caller is told. `acknowledged`: its trace is on the disk."""

    id: str
    created: float
    role: Role
    variant: str
    completion: Completion
    problem: str | None
    acknowledged: bool


@dataclass(eq=False)
class UnderWay:
    """A call that an engine has, or will have."""

    live: Live
    role: Role
    call: Call
    future: Pending
    created: float
    started: float
    pieces: Pieces | None
    """Where its answer is sent as it is written."""
    left: bool = False

    def leave(self) -> None:
        """Its caller hung up: the engine need not go on."""
        self.left = True
        self.future.cancel()


class Service:
    """Answers calls of one task. Everything but the engines' threads runs in one event loop."""

    def __init__(
        self, task: str, settings: ServeSettings, capture: Capture, metrics: Metrics
    ) -> None:
        self.task = task
        self.live: Live | None = None
        """Replaced as a whole when the deployment changes; calls under way keep theirs."""
        self._settings = settings
        self._capture = capture
        self._metrics = metrics
        self._draw = random.SystemRandom()
        self._apart: set[asyncio.Task[Any]] = set()
        """Shadows, and answers that are finished whether their callers stay or not."""

    def begin(self, text: str, user: str | None, *, stream: bool = False) -> UnderWay:
        """Bring `text` to the variant that its user, or it, falls to.

        Raises:
            Refused: no variant is promoted, or too many calls wait.
        """
        moment, started = time.time(), time.perf_counter()
        live = self.live
        if live is None:
            raise _unavailable(f"no variant of {self.task} is promoted yet")
        role, served = live.route(user or text)
        pieces = Pieces() if stream and served.streams else None
        call = Call(new_id(moment), text, served, _into(pieces) if pieces is not None else None)
        try:
            future = served.calls.submit(call)
        except Busy:
            raise _unavailable("too many calls wait; try again in a second") from None
        self._start_shadow(live, call, moment, started)
        return UnderWay(live, role, call, future, moment, started, pieces)

    async def finish(self, under_way: UnderWay) -> Answered:
        """The answer, once it is final and its trace is kept.

        Raises:
            Refused: the call failed.
        """
        live, role, call = under_way.live, under_way.role, under_way.call
        answer = await self._wait(under_way)
        trace = self._trace(live, role, call, answer, under_way.created, under_way.started)
        acknowledged = await self._keep(trace)
        self._count(trace, answer)
        if isinstance(answer, Failed):
            raise _failed(answer, call.id)
        return Answered(
            id=call.id,
            created=under_way.created,
            role=role,
            variant=call.served.deployed.variant,
            completion=answer,
            problem=trace.problem,
            acknowledged=acknowledged,
        )

    def finish_apart(self, under_way: UnderWay) -> asyncio.Task[Answered]:
        """`finish` in a task that goes on where its caller hangs up; its end ends the pieces."""
        task = asyncio.create_task(self.finish(under_way))
        self._set_apart(task)

        def end(done: asyncio.Task[Answered]) -> None:
            if under_way.pieces is not None:
                under_way.pieces.put_nowait(None)
            if not done.cancelled():
                done.exception()  # who is still there asks the task

        task.add_done_callback(end)
        return task

    async def drain(self) -> None:
        """Wait until all shadows, and calls of callers who hung up, are answered and kept."""
        while self._apart:
            await asyncio.wait(self._apart)

    def _set_apart(self, task: asyncio.Task[Any]) -> None:
        self._apart.add(task)
        task.add_done_callback(self._apart.discard)

    def _start_shadow(self, live: Live, call: Call, moment: float, started: float) -> None:
        """Let the shadow answer too, whenever the engine has nothing better to do."""
        if live.shadow is None:
            return
        shadowed = Call(new_id(moment), call.input, live.shadow)
        try:
            future = live.shadow.calls.submit(shadowed, background=True)
        except Busy:
            self._metrics.shadow_skipped()
            return
        work = self._finish_shadow(live, shadowed, call.id, future, moment, started)
        self._set_apart(asyncio.create_task(work))

    async def _finish_shadow(
        self,
        live: Live,
        call: Call,
        of: str,
        future: Pending,
        moment: float,
        started: float,
    ) -> None:
        answer = await _settled(future)
        trace = self._trace(live, "shadow", call, answer, moment, started, of)
        await self._keep(trace)
        self._count(trace, answer)

    async def _wait(self, under_way: UnderWay) -> Answer:
        limit_s = self._settings.limits.timeout_seconds
        try:
            async with asyncio.timeout(limit_s - (time.perf_counter() - under_way.started)):
                return await _settled(under_way.future)
        except TimeoutError:
            return Failed(boundary="timeout", message=f"no answer within {limit_s:g} s")
        except asyncio.CancelledError:
            if not under_way.left:
                raise
            return Failed(boundary="timeout", message="the caller hung up before the answer")

    def _trace(
        self,
        live: Live,
        role: Role,
        call: Call,
        answer: Answer,
        moment: float,
        started: float,
        of: str | None = None,
    ) -> Trace:
        completion = answer if isinstance(answer, Completion) else None
        if isinstance(answer, Failed):
            problem: str | None = f"{answer.boundary}: {answer.message}"
        else:
            problem = violation(call.served.predictor.task.output, answer.text)
        return Trace(
            id=call.id,
            task=self.task,
            time=datetime.fromtimestamp(moment, UTC),
            role=role,
            variant=call.served.deployed.variant,
            run=call.served.deployed.run,
            deployment=live.number,
            of=of,
            input=call.input,
            output=completion.text if completion else None,
            valid=problem is None if completion else None,
            problem=problem,
            tokens_in=completion.tokens_in if completion else None,
            tokens_cached=completion.tokens_cached if completion else None,
            tokens_out=completion.tokens_out if completion else None,
            latency_s=time.perf_counter() - started,
        )

    async def _keep(self, trace: Trace) -> bool:
        """Store the trace, or leave it out by chance; whether it is on the disk."""
        share = self._settings.capture.share
        if trace.valid and share < 1:
            if self._draw.random() >= share:
                self._metrics.trace("left out")
                return False
            trace = trace.model_copy(update={"weight": 1 / share})
        try:
            async with asyncio.timeout(_ACKNOWLEDGE_S):
                stored = await asyncio.wrap_future(self._capture.put(trace))
        except TimeoutError:
            stored = self._capture.healthy = False  # until a commit succeeds
        self._metrics.trace("stored" if stored else "lost")
        return stored

    def _count(self, trace: Trace, answer: Answer) -> None:
        outcome: str = "ok" if trace.valid else "invalid"
        if isinstance(answer, Failed):
            outcome = answer.boundary
        self._metrics.called(
            trace.role, outcome, trace.latency_s, trace.tokens_in or 0, trace.tokens_out or 0
        )
        _log.info(
            "call",
            extra={
                "trace": trace.id,
                "of": trace.of,
                "role": trace.role,
                "variant": trace.variant,
                "deployment": trace.deployment,
                "outcome": outcome,
                "ms": round(trace.latency_s * 1000, 1),
                "tokens_in": trace.tokens_in,
                "tokens_out": trace.tokens_out,
            },
        )


async def _settled(future: Pending) -> Answer:
    """The answer; a failed call where the engine raised."""
    try:
        return await asyncio.wrap_future(future)
    except EngineUnavailable as error:
        return Failed(boundary="connection", message=str(error))
    except Exception as error:  # one broken call must not end the server
        _log.exception("an engine failed")
        return Failed(boundary="server", message=f"the engine failed: {type(error).__name__}")


def _into(pieces: Pieces) -> Callable[[str], None]:
    """Puts pieces into a queue of this event loop, from any thread."""
    loop = asyncio.get_running_loop()

    def put(piece: str) -> None:
        loop.call_soon_threadsafe(pieces.put_nowait, piece)

    return put


def _unavailable(message: str) -> Refused:
    return Refused(503, message, kind="server_error", code="unavailable", retry_after_s=1.0)


def _failed(answer: Failed, trace_id: str) -> Refused:
    """What the caller is told; the endpoint's own words may hold texts, and stay in the trace."""
    if answer.boundary == "context":
        return Refused(400, "the input is too long for the model", code="context_length_exceeded")
    return Refused(
        _STATUS.get(answer.boundary, 502),
        f"the model could not answer ({answer.boundary}); trace {trace_id}",
        kind="server_error",
        code=answer.boundary,
    )
