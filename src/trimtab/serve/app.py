"""The HTTP side: routes, keys and limits around the service, and OpenAI's shapes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from trimtab.errors import DatabaseUnavailable
from trimtab.serve import openai_format as api
from trimtab.serve.body import read_body
from trimtab.serve.capture import Capture, Upkeep
from trimtab.serve.feedback import FeedbackBook
from trimtab.serve.follow import Follower
from trimtab.serve.limits import Quotas
from trimtab.serve.live import Loader
from trimtab.serve.metrics import Metrics
from trimtab.serve.openapi import description
from trimtab.serve.redact import Redactor
from trimtab.serve.refusal import Refused
from trimtab.serve.service import Answered, Pieces, Service, UnderWay
from trimtab.serve.settings import ServeSettings
from trimtab.serve.stream import EventStream, while_there
from trimtab.store.database import Database
from trimtab.task.spec import Task

TRACE_HEADER = "x-trimtab-trace"
"""Holds the trace's id, and is there only where the trace is on the disk."""

_log = logging.getLogger("trimtab.serve")

_Handler = Callable[[Request], Awaitable[Response]]


class Server:
    """One task's server: what its routes share, from start to drain."""

    def __init__(
        self,
        task: Task,
        settings: ServeSettings,
        database_url: str,
        loader: Loader,
    ) -> None:
        open_database = partial(Database, database_url)
        synced = settings.capture.survive_power_loss
        open_for_traces = partial(Database, database_url, synced=synced)
        redact = Redactor(settings.capture)
        retention = timedelta(days=settings.capture.retention_days)
        self._task = task
        self._settings = settings
        self._loader = loader
        self._metrics = Metrics()
        self._capture = Capture(open_for_traces, redact)
        self._upkeep = Upkeep(open_for_traces, task.name, retention)
        self._service = Service(task.name, settings, self._capture, self._metrics)
        self._follower = Follower(open_database, self._service, loader, self._metrics)
        self._feedback = FeedbackBook(open_database, redact, task)
        self._quotas = Quotas(settings.limits)

    def app(self) -> Starlette:
        """The ASGI application; it loads the promoted variants when it starts."""
        return Starlette(
            routes=[
                Route(
                    "/v1/chat/completions", self._guarded(self._answer("chat")), methods=["POST"]
                ),
                Route("/v1/completions", self._guarded(self._answer("text")), methods=["POST"]),
                Route("/v1/feedback", self._guarded(self._take_feedback), methods=["POST"]),
                Route("/v1/models", self._guarded(self._models)),
                Route("/v1/models/{model}", self._guarded(self._model)),
                Route("/health", self._health),
                Route("/metrics", self._show_metrics),
                Route("/openapi.json", self._describe),
            ],
            lifespan=self._lifespan,
            exception_handlers={HTTPException: _not_found, Exception: _unexpected},
        )

    async def start(self) -> None:
        """Load keys and promoted variants. Raises `TrimtabError` where they cannot be used."""
        await self._follower.start()

    @property
    def needs_keys(self) -> bool:
        return not self._follower.keyring.open

    async def close(self) -> None:
        """Answer and write what is under way, then let everything go."""
        await self._service.drain()
        await self._loader.finish()
        await asyncio.to_thread(self._capture.close)
        await asyncio.to_thread(self._upkeep.close)
        self._follower.close()
        self._feedback.close()

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(self._follower.follow())
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
            await self.close()

    def _guarded(self, handler: Callable[[Request, bytes], Awaitable[Response]]) -> _Handler:
        """`handler` behind key and limits, with refusals in OpenAI's shape."""

        async def guarded(request: Request) -> Response:
            try:
                key = self._follower.keyring.owner(request.headers.get("authorization"))
                with ExitStack() as held:
                    held.enter_context(self._quotas.call(key))
                    body = await read_body(request, self._settings.limits.body_bytes)
                    response = await handler(request, body)
                    if isinstance(response, EventStream):
                        response.held.push(held.pop_all())
                    return response
            except Refused as refused:
                self._metrics.refused(refused.status)
                return _refusal(refused)

        return guarded

    def _answer(self, form: api.Form) -> Callable[[Request, bytes], Awaitable[Response]]:
        async def answer(request: Request, body: bytes) -> Response:
            asked = api.read_call(body, form, self._task.name)
            call = self._service.begin(asked.input, asked.user, stream=asked.stream)
            if call.pieces is not None:
                return await self._stream(request, asked, call, call.pieces)
            return self._whole(asked, await while_there(request, call, self._service.finish(call)))

        return answer

    def _whole(self, asked: api.Asked, answered: Answered) -> Response:
        reply = _reply(self._task.name, answered)
        headers = _headers(answered, asked)
        if asked.stream:
            events = api.answer_events(reply, asked)
            return Response(events, media_type="text/event-stream", headers=headers)
        return JSONResponse(api.answer_body(reply, asked.form), headers=headers)

    async def _stream(
        self, request: Request, asked: api.Asked, call: UnderWay, pieces: Pieces
    ) -> Response:
        """The answer as it is written. What is known at its end alone comes in its last event; a
        call that fails before the first word is refused as any other."""
        answered = self._service.finish_apart(call)
        first = await while_there(request, call, pieces.get())
        if first is None:
            return self._whole(asked, await answered)
        variant = call.call.served.deployed.variant
        origin = api.Origin(call.call.id, int(call.created), self._task.name, variant)
        headers = _known_headers(variant, call.role, asked)
        return EventStream(self._events(api.Events(origin, asked), call, first, answered), headers)

    async def _events(
        self, events: api.Events, call: UnderWay, first: str, answered: asyncio.Task[Answered]
    ) -> AsyncGenerator[bytes, None]:
        assert call.pieces is not None
        try:
            yield events.opening() + events.piece(first)
            while (piece := await call.pieces.get()) is not None:
                yield events.piece(piece)
            found = await answered
        except Refused as refused:
            self._metrics.refused(refused.status)
            yield events.failure(refused)
        else:
            trace = found.id if found.acknowledged else None
            reply = _reply(self._task.name, found)
            yield events.closing(reply, trimtab={"trace": trace, "valid": found.problem is None})
        finally:
            call.leave()

    async def _take_feedback(self, request: Request, body: bytes) -> Response:
        try:
            feedback = await self._feedback.take(api.read_object(body))
        except DatabaseUnavailable as error:
            _log.error("feedback lost: %s", error)
            raise Refused(503, "feedback cannot be kept now", kind="server_error") from None
        return JSONResponse({"id": feedback.id, "trace": feedback.trace}, status_code=201)

    async def _models(self, request: Request, body: bytes) -> Response:
        return JSONResponse({"object": "list", "data": [api.model_body(self._task.name)]})

    async def _model(self, request: Request, body: bytes) -> Response:
        name = request.path_params["model"]
        if name != self._task.name:
            message = f"there is no model {name[:100]!r} here"
            raise Refused(404, message, code="model_not_found", param="model")
        return JSONResponse(api.model_body(name))

    async def _health(self, request: Request) -> Response:
        """200 where calls are answered and captured as they should be."""
        live = self._service.live
        problem = self._follower.problem
        if live is None:
            problem = problem or "no variant is promoted yet"
        elif not self._capture.healthy:
            problem = "traces cannot be written"
        status = {
            "status": "ok" if problem is None else "degraded" if live else "unavailable",
            "problem": problem,
            "task": self._task.name,
            "deployment": live.number if live else None,
            "champion": live.champion.deployed.variant if live else None,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        return JSONResponse(status, status_code=200 if problem is None else 503)

    async def _show_metrics(self, request: Request) -> Response:
        self._metrics.waiting.set(self._loader.waiting())
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4")

    async def _describe(self, request: Request) -> Response:
        return JSONResponse(description(self._task.name))


def _reply(task: str, answered: Answered) -> api.Reply:
    completion = answered.completion
    return api.Reply(
        id=answered.id,
        created=int(answered.created),
        task=task,
        variant=answered.variant,
        text=completion.text,
        finish=completion.finish,
        tokens_in=completion.tokens_in,
        tokens_cached=completion.tokens_cached,
        tokens_out=completion.tokens_out,
    )


def _headers(answered: Answered, asked: api.Asked) -> dict[str, str]:
    headers = _known_headers(answered.variant, answered.role, asked)
    headers["x-trimtab-valid"] = "false" if answered.problem else "true"
    if answered.acknowledged:
        headers[TRACE_HEADER] = answered.id
    return headers


def _known_headers(variant: str, role: str, asked: api.Asked) -> dict[str, str]:
    """What is known before the answer is there."""
    headers = {"x-trimtab-variant": variant, "x-trimtab-role": role}
    if asked.left_out:
        headers["x-trimtab-left-out"] = str(asked.left_out)
    return headers


def _refusal(refused: Refused) -> Response:
    headers = {}
    if refused.retry_after_s is not None:
        headers["retry-after"] = str(max(1, round(refused.retry_after_s)))
    return JSONResponse(refused.body, status_code=refused.status, headers=headers)


async def _not_found(request: Request, error: Exception) -> Response:
    """Starlette's own errors: no such path, or another method (`Allow` says which there are)."""
    found = cast(HTTPException, error)
    body = Refused(found.status_code, found.detail).body
    return JSONResponse(body, found.status_code, headers=found.headers)


async def _unexpected(request: Request, error: Exception) -> Response:
    """Logged by uvicorn; the caller gets OpenAI's shape and no inside."""
    return JSONResponse(Refused(500, "the server failed", kind="server_error").body, 500)
