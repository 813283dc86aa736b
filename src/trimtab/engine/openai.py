"""Any endpoint that speaks OpenAI's chat completions: vLLM, llama.cpp, Ollama, hosted ones."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from functools import cache, cached_property
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from trimtab.engine.chat_format import Trouble, read_answer, read_error, request_body
from trimtab.engine.endpoint import api_key, base_url, wait_s, without_key
from trimtab.engine.pace import Pace
from trimtab.errors import EngineUnavailable, ModelError
from trimtab.task.spec import ModelSpec
from trimtab.types import (
    HOSTED_FILE,
    Completion,
    Failed,
    HostedModel,
    Message,
    OutputContract,
    Request,
)

T = TypeVar("T")

Send = Callable[[str, Mapping[str, str], bytes], Awaitable[tuple[int, Mapping[str, str], bytes]]]
"""Posts a body with headers to a URL; gives status, headers (names in lower case) and content.

Raises `httpx.RequestError` where no whole answer comes."""

_TRIES = 5
_REFUSED_TRIES = 8
"""Tries of a call that is refused as one too many. The waits add up to a minute, the usual window
of a rate limit."""
_LONGEST_WAIT_S = 120.0
"""An endpoint that asks for a longer wait is not waited for."""
_ROUNDS = 32
_CONNECT_S = 10.0
LARGEST_BODY = 4 * 1024 * 1024
"""Of an answer, in bytes; no more are read. Several times the longest answer that models write: so
much may be held for each call under way."""
_LOST_CALLS = 20
"""So many calls lost in a row to the endpoint itself mean that it is down."""
_ENDPOINT_BOUNDARIES = {"connection", "timeout", "rate-limit", "server"}


class OpenAIEngine:
    """Calls an endpoint, `spec.concurrency` calls at a time, or fewer where it refuses so many.

    Lost connections, 429 and 5xx are tried again with growing waits; a call that lasted longer
    than `spec.timeout_seconds` is not, because it would again. Token counts are the endpoint's.
    A chunk is 32 rounds of concurrent calls: the connections that idle while the last calls of
    a chunk end cost a few percent at any concurrency, and answers do not depend on the batch.
    """

    exact_tokens = False
    context: int | None = None

    def __init__(self, spec: ModelSpec) -> None:
        """Check the spec; the endpoint is first called when the first request is.

        Raises:
            ModelError: `base_url` is missing or no web address, or the key's variable is not set.
        """
        base = base_url(spec)
        self._url = base.copy_with(path=base.path.rstrip("/") + "/chat/completions")
        self._spec = spec
        self._key = api_key(spec)
        self._send: Send = self._send_by_httpx
        self._answers = 0
        self._lost_in_a_row = 0
        self.chunk_size = _ROUNDS * spec.concurrency
        self.calls_at_once = spec.concurrency
        self.model_id = f"openai:{base.netloc.decode()}{base.path.rstrip('/')}:{spec.model}"

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        """See `Engine.generate`; answers come as each call ends.

        A failed call comes once a later one is answered, or none is left: where the endpoint
        turns out to be down, it is not final, and the next run makes it again.

        Raises:
            EngineUnavailable: before any call was ever answered, one shows that none can be; while
                one was tried again and again, none was answered; or 20 calls in a row were lost.
            ModelError: a request names an adapter folder that the endpoint did not train.
        """
        for request in requests:
            self._model(request)
        results: SimpleQueue[tuple[int, Completion | Failed] | BaseException] = SimpleQueue()
        job = self._start(self._answer_all(requests, results.put))
        failed: list[tuple[int, Completion | Failed]] = []
        try:
            for _ in requests:
                result = results.get()
                if isinstance(result, BaseException):
                    raise result
                if isinstance(result[1], Failed):
                    failed.append(result)
                    continue
                yield from failed
                failed.clear()
                yield result
            yield from failed
        finally:
            job.cancel()

    def send_by(self, send: Send) -> None:
        """Make calls by `send`, not by httpx."""
        self._send = send

    async def answer(self, request: Request) -> Completion | Failed:
        """Answer one request in the caller's own event loop, with no thread between.

        An engine that is used so is used from one loop, and by nothing else. It never gives the
        endpoint up: a call that is lost is `Failed`, however many were lost before it.

        Raises:
            ModelError: as `generate`.
        """
        self._model(request)
        return await self._answer(request, give_up=False)

    def time_call(self, request: Request) -> Completion | Failed:
        """See `Engine.time_call`: the seconds from sending to the whole answer, tried once."""
        self._model(request)
        return self._start(self._timed(request)).result()

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Estimate: a token per four characters, the usual mean for English text."""
        return math.ceil(sum(len(message.content) for message in messages) / 4)

    def satisfies(self, contract: OutputContract, completion: Completion) -> bool:
        """False: an endpoint does not show which tokens its grammar would have allowed."""
        return False

    async def _answer_all(
        self,
        requests: Sequence[Request],
        put: Callable[[tuple[int, Completion | Failed] | BaseException], None],
    ) -> None:
        todo = iter(enumerate(requests))

        async def work() -> None:
            for position, request in todo:
                put((position, await self._answer(request)))

        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self._spec.concurrency, len(requests))):
                    workers.create_task(work())
        except BaseExceptionGroup as group:
            put(group.exceptions[0])

    async def _answer(self, request: Request, *, give_up: bool = True) -> Completion | Failed:
        """Try until the call is answered, or trying again cannot help."""
        answers_before = self._answers
        tried = 0
        while True:
            tried += 1
            async with self._pace.turn() as sent_at:
                result = await self._call(request)
            if isinstance(result, Completion):
                self._pace.answered()
                break
            seconds = wait_s(tried, result.retry_after_s)
            if result.too_many:
                self._pace.too_many(sent_at, min(seconds, _LONGEST_WAIT_S))
            tries = _REFUSED_TRIES if result.too_many else _TRIES
            if not result.retry or tried == tries or seconds > _LONGEST_WAIT_S:
                break
            if not result.too_many:
                await asyncio.sleep(seconds)
        alone = self._answers == answers_before
        return self._settle(result, tried, alone=alone, give_up=give_up)

    async def _timed(self, request: Request) -> Completion | Failed:
        async with self._pace.turn():
            start = time.perf_counter()
            result = await self._call(request)
            seconds = time.perf_counter() - start
        if isinstance(result, Completion):
            result = result.model_copy(update={"latency_s": seconds})
        return self._settle(result, tried=1, alone=False, give_up=True)

    async def _call(self, request: Request) -> Completion | Trouble:
        """One try. The time limit holds for all of it, however slowly the bytes trickle."""
        limit = self._spec.timeout_seconds
        try:
            async with asyncio.timeout(limit):
                status, headers, body = await self._post(request)
        except TimeoutError:
            return Trouble(Failed(boundary="timeout", message=f"no answer within {limit:g} s"))
        except httpx.RequestError as error:
            message = without_key(f"{type(error).__name__}: {error}", self._key)
            return Trouble(
                Failed(boundary="connection", message=message),
                retry=True,
                hopeless="check `base_url`, and that the endpoint is running",
            )
        if status == 200:
            return read_answer(body, request.decoding.contract)
        return read_error(status, headers, body, request.decoding.contract)

    async def _post(self, request: Request) -> tuple[int, Mapping[str, str], str]:
        """Status, headers and text of the response."""
        body = request_body(self._model(request), request)
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        headers = {"content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        status, found, content = await self._send(str(self._url), headers, text.encode())
        return status, found, without_key(content.decode("utf-8", "replace"), self._key)

    def _model(self, request: Request) -> str:
        """The name to ask for: the base model's, or that of the fine-tune in an adapter folder."""
        return _served_name(request.adapter) if request.adapter else self._spec.model

    async def _send_by_httpx(
        self, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        async with self._client.stream("POST", url, headers=headers, content=body) as response:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > LARGEST_BODY:
                    break
        return response.status_code, response.headers, bytes(content)

    def _settle(
        self, result: Completion | Trouble, tried: int, *, alone: bool, give_up: bool
    ) -> Completion | Failed:
        """Count what was lost in a row, and give up where no call can work and that is wanted.

        `alone` says that no other call was answered while this one was tried.
        """
        if isinstance(result, Completion):
            self._answers += 1
            self._lost_in_a_row = 0
            return result.model_copy(update={"attempts": tried})
        if result.hopeless or result.failed.boundary in _ENDPOINT_BOUNDARIES:
            self._lost_in_a_row += 1
        message = result.failed.message
        if advice := self._why_down(result, alone):
            message = f"{message}; {advice}"
            if give_up:
                where = self._url.copy_with(userinfo=b"", query=None)
                raise EngineUnavailable(f"{where} cannot be used: {message}")
        return result.failed.model_copy(update={"attempts": tried, "message": message})

    def _why_down(self, result: Trouble, alone: bool) -> str | None:
        """What to do about an endpoint that no call can use; None while one may."""
        boundary = result.failed.boundary
        if result.hopeless and (not self._answers or (alone and boundary == "connection")):
            return result.hopeless
        if alone and boundary == "rate-limit":
            return result.hopeless or (
                "it answers no call at all: give it a lower `concurrency`, or try again later"
            )
        if self._lost_in_a_row >= _LOST_CALLS:
            return result.hopeless or (
                f"{self._lost_in_a_row} calls in a row were lost: check the endpoint, or give it "
                "a lower `concurrency` or more `timeout_seconds`"
            )
        return None

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    @cached_property
    def _pace(self) -> Pace:
        return Pace(self._spec.concurrency)

    @cached_property
    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            timeout=httpx.Timeout(None, connect=_CONNECT_S),  # `_call` limits the whole
            limits=httpx.Limits(max_connections=None, keepalive_expiry=60),
        )

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """A loop in a thread of its own: callers may themselves run inside one, as notebooks do."""
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="trimtab-openai", daemon=True).start()
        return loop


@cache
def _served_name(folder: str) -> str:
    """The name under which the endpoint serves the fine-tune in an adapter folder.

    Raises `ModelError` where the folder holds weights instead: no endpoint can load those.
    """
    try:
        return HostedModel.model_validate_json((Path(folder) / HOSTED_FILE).read_bytes()).model
    except (OSError, ValidationError) as error:
        raise ModelError(
            f"an endpoint cannot load the adapter {folder}: serve it there, and name it as the "
            "`model` of its own; or, where the endpoint trained it, bring its "
            f"{HOSTED_FILE} back"
        ) from error


def from_spec(spec: ModelSpec, progress: Callable[[str], None]) -> OpenAIEngine:
    """The entry point `openai`."""
    return OpenAIEngine(spec)
