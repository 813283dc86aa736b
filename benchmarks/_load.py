"""A load generator and an instant endpoint on raw asyncio protocols.

They speak just the HTTP/1.1 that the benchmarks need, because a full client would cost more time
than what is measured: this one takes some 40 microseconds a call.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence


def completion_reply(text: str) -> bytes:
    """A whole response of an endpoint that answers `text`."""
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": "stop",
    }
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [choice],
        "usage": {"prompt_tokens": 20, "completion_tokens": 1, "total_tokens": 21},
    }
    return http_reply(json.dumps(body).encode())


def http_reply(body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


_REPLY = completion_reply("person")


class _Instant(asyncio.Protocol):
    """Answers every request with the same completion."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (length := message_length(self._buffer)) is not None:
            del self._buffer[:length]
            self._transport.write(_REPLY)  # type: ignore[attr-defined]


async def serve_instantly(port: int) -> None:
    """Run the endpoint until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Instant, "127.0.0.1", port)
    await server.serve_forever()


class Connection(asyncio.Protocol):
    """One call at a time over a connection that is kept."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._answer: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        length = message_length(self._buffer)
        if length is not None and self._answer is not None:
            waiting, self._answer = self._answer, None
            waiting.set_result(bytes(self._buffer[:length]))
            del self._buffer[:length]

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("the server hung up"))

    async def call(self, request: bytes) -> bytes:
        """Head and body of the answer. Raises `ConnectionError` where the server hangs up."""
        if self._transport.is_closing():
            raise ConnectionError("the server hung up")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)  # type: ignore[attr-defined]
        return await self._answer


async def connect(port: int) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, "127.0.0.1", port)
    return connection


def chat_request(port: int, model: str, text: str, key: str = "none") -> bytes:
    """A call to /v1/chat/completions as bytes."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": text}]}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n"
        f"content-type: application/json\r\nauthorization: Bearer {key}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def at_rate(port: int, requests: Sequence[bytes], per_second: float) -> list[float]:
    """Send each request at its own time, whether earlier ones are answered or not; seconds from
    that time to the answer. So a server that stalls is charged for all who wait (no coordinated
    omission)."""
    free: list[Connection] = [await connect(port) for _ in range(64)]
    start = time.perf_counter() + 0.1
    seconds: list[float] = [float("nan")] * len(requests)

    async def one(place: int, due: float) -> None:
        connection = free.pop() if free else await connect(port)
        answer = await connection.call(requests[place])
        seconds[place] = time.perf_counter() - due
        assert answer.startswith(b"HTTP/1.1 200"), answer[:500]
        free.append(connection)

    tasks = []
    for place in range(len(requests)):
        due = start + place / per_second
        delay = due - time.perf_counter()
        if delay > 0:
            await asyncio.sleep(delay)
        tasks.append(asyncio.create_task(one(place, due)))
    await asyncio.gather(*tasks)
    return seconds


async def as_fast_as_possible(port: int, requests: Sequence[bytes], connections: int) -> float:
    """Calls a second, with one call under way on each connection."""
    opened = [await connect(port) for _ in range(connections)]
    todo = iter(requests)

    async def work(connection: Connection) -> None:
        for request in todo:
            answer = await connection.call(request)
            assert answer.startswith(b"HTTP/1.1 200"), answer[:500]

    start = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in opened))
    return len(requests) / (time.perf_counter() - start)


def message_length(buffer: bytearray) -> int | None:
    """Length of the message at the beginning of `buffer`; None while it is not whole."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(buffer[:end]).lower()
    start = head.find(b"content-length:")
    length = 0
    if start >= 0:
        stop = head.find(b"\r\n", start)
        length = int(head[start + 15 : stop if stop >= 0 else None])
    whole = end + 4 + length
    return whole if len(buffer) >= whole else None
