"""An endpoint in a thread that answers at once, until it is told to go wrong."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from _load import completion_reply, http_reply, message_length

LABELS = {"Say person.": "person", "Say company.": "company"}
"""What it answers to whom has these instructions, so that an answer shows which variant made it."""

_PIECE = 1 << 20
_HUGE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000000000\r\n\r\n"
)

GARBAGE = {
    "html": http_reply(b"<html><body><h1>Welcome</h1></body></html>", "text/html"),
    "broken JSON": http_reply(b'{"choices": [{"message": {"content": "per'),
    "other JSON": http_reply(json.dumps({"choices": [{"text": 3}], "usage": []}).encode()),
    "error in a 200": http_reply(json.dumps({"error": {"message": "overloaded"}}).encode()),
}
"""Whole responses that are no answers."""


class FaultyEndpoint:
    """`fault` is None, a key of `GARBAGE`, or one of `hang`, `cut`, `trickle` and `endless`."""

    def __init__(self) -> None:
        self.fault: str | None = None
        self._connections: set[_Connection] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = 0
        self.listen()

    def listen(self) -> None:
        """On the same port as before."""
        self._server = self._done(
            self._loop.create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        )
        self.port = self._server.sockets[0].getsockname()[1]

    def go(self) -> None:
        """Be gone: end all connections, take no more."""

        async def end() -> None:
            self._server.close()
            for connection in list(self._connections):
                connection.transport.abort()

        self._done(end())

    def close(self) -> None:
        self.go()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _done(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def opened(self, connection: _Connection) -> None:
        self._connections.add(connection)

    def closed(self, connection: _Connection) -> None:
        self._connections.discard(connection)


class _Connection(asyncio.Protocol):
    def __init__(self, endpoint: FaultyEndpoint) -> None:
        self._endpoint = endpoint
        self._buffer = bytearray()
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._sending: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._endpoint.opened(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._endpoint.closed(self)
        if self._sending is not None:
            self._sending.cancel()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (length := message_length(self._buffer)) is not None:
            request = bytes(self._buffer[:length])
            del self._buffer[:length]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        label = next((LABELS[say] for say in LABELS if say.encode() in request), "person")
        reply = completion_reply(label)
        how: dict[str | None, Callable[[], None]] = {
            None: lambda: self.transport.write(reply),
            "hang": lambda: None,
            "cut": lambda: self._cut(reply),
            "trickle": lambda: self._send(_HUGE, b" ", 0.05),
            "endless": lambda: self._send(_HUGE, b" " * _PIECE, 0.0),
        }
        fault = self._endpoint.fault
        if fault in GARBAGE:
            self.transport.write(GARBAGE[fault])
        else:
            how[fault]()

    def _cut(self, reply: bytes) -> None:
        self.transport.write(reply[: len(reply) // 2])
        self.transport.close()

    def _send(self, head: bytes, piece: bytes, pause_s: float) -> None:
        async def go_on() -> None:
            self.transport.write(head)
            while True:
                await self._may_write.wait()
                self.transport.write(piece)
                await asyncio.sleep(pause_s)

        self._sending = asyncio.get_running_loop().create_task(go_on())
