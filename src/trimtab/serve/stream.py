"""Answers that are sent as they are written, and callers that hang up before the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import ExitStack
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from trimtab.serve.service import UnderWay

FoundT = TypeVar("FoundT")


class EventStream(StreamingResponse):
    """Server-sent events. However it ends, what it held is let go."""

    def __init__(self, events: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=headers)
        self.held = ExitStack()
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.held:
            try:
                await super().__call__(scope, receive, send)
            finally:
                await self._events.aclose()


async def while_there(request: Request, call: UnderWay, work: Awaitable[FoundT]) -> FoundT:
    """The result of `work`. A caller who hangs up before it leaves `call`, which then ends."""
    watching = asyncio.create_task(_watch(request, call))
    try:
        return await work
    finally:
        watching.cancel()


async def _watch(request: Request, call: UnderWay) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    call.leave()
