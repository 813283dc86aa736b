"""Brings calls to an endpoint from the server's own event loop, with no thread between.

The engine, with its retries, pace and reading of answers, is the one that measured. Only the bytes
go by aiohttp here: at hundreds of calls a second a connection pool written in Python is what costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cache, cached_property
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx

from trimtab.engine.openai import LARGEST_BODY, OpenAIEngine
from trimtab.serve.calls import Answer, Busy, Call
from trimtab.types import Example

_CONNECT_S = 10.0
_IDLE_S = 60.0


class Wire:
    """Posts over kept connections; made and used in one event loop."""

    async def send(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        """See `trimtab.engine.openai.Send`."""
        try:
            proxy = _proxy(url)
            async with self._session.post(
                url,
                headers=headers,
                data=body,
                proxy=proxy,
                # An endpoint may not send the call on to an address of its own choice, such as one
                # inside of the network that the server runs in.
                allow_redirects=False,
            ) as response:
                content = bytearray()
                async for chunk in response.content.iter_any():
                    content += chunk
                    if len(content) > LARGEST_BODY:
                        break
                found = {name.lower(): value for name, value in response.headers.items()}
                return response.status, found, bytes(content)
        except aiohttp.ClientError as error:
            raise httpx.TransportError(f"{type(error).__name__}: {error}") from error

    async def close(self) -> None:
        await self._session.close()

    @cached_property
    def _session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S),
            timeout=aiohttp.ClientTimeout(total=None, connect=_CONNECT_S),  # the engine limits all
        )


@cache
def _proxy(url: str) -> str | None:
    """The proxy that the environment names for this URL, looked up once: aiohttp would read the
    environment, and a file, at every call."""
    parts = urlsplit(url)
    if proxy_bypass(parts.hostname or ""):
        return None
    return getproxies().get(parts.scheme)


class EndpointCalls:
    """Calls under way to one endpoint; the engine's pace makes the others wait."""

    streams = False

    def __init__(self, engine: OpenAIEngine, wire: Wire, most_waiting: int) -> None:
        engine.send_by(wire.send)
        self._engine = engine
        self._wire = wire
        self._most = most_waiting
        self._tasks: set[asyncio.Task[Answer]] = set()

    @property
    def waiting(self) -> int:
        """Calls that were not sent yet."""
        return max(0, len(self._tasks) - self._engine.calls_at_once)

    def submit(self, call: Call, *, background: bool = False) -> asyncio.Task[Answer]:
        """Start one call.

        Raises:
            Busy: too many calls wait already; for a shadow, any.
        """
        if self.waiting >= (1 if background else self._most):
            raise Busy
        row = Example(id=call.id, input=call.input, target="")
        work = call.served.predictor.answer_one(row, self._engine.answer)
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self) -> None:
        """Answer what is under way, then close the connections."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        await self._wire.close()
