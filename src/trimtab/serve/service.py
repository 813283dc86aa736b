"""One call from its input to an answer that may be sent: routed, answered, judged, captured."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime

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
        self._shadows: set[asyncio.Task[None]] = set()

    async def answer(self, text: str, user: str | None) -> Answered:
        """Answer `text` with the variant that its user, or it, falls to.

        Raises:
            Refused: no variant is promoted, too many calls wait, or the call failed.
        """
        moment, started = time.time(), time.perf_counter()
        live = self.live
        if live is None:
            raise _unavailable(f"no variant of {self.task} is promoted yet")
        trace_id = new_id(moment)
        role, served = live.route(user or text)
        call = Call(trace_id, text, served)
        try:
            future = served.calls.submit(call)
        except Busy:
            raise _unavailable("too many calls wait; try again in a second") from None
        self._start_shadow(live, call, moment, started)
        answer = await self._wait(future, started)
        trace = self._trace(live, role, call, answer, moment, started)
        acknowledged = await self._keep(trace)
        self._count(trace, answer)
        if isinstance(answer, Failed):
            raise _failed(answer, trace_id)
        return Answered(
            id=trace_id,
            created=moment,
            role=role,
            variant=served.deployed.variant,
            completion=answer,
            problem=trace.problem,
            acknowledged=acknowledged,
        )

    async def drain(self) -> None:
        """Wait until all shadows are answered and kept."""
        while self._shadows:
            await asyncio.wait(self._shadows)

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
        task = asyncio.create_task(work)
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

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

    async def _wait(self, future: Pending, started: float) -> Answer:
        limit_s = self._settings.limits.timeout_seconds
        try:
            async with asyncio.timeout(limit_s - (time.perf_counter() - started)):
                return await _settled(future)
        except TimeoutError:
            return Failed(boundary="timeout", message=f"no answer within {limit_s:g} s")

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
            stored = False
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
