"""Calls an endpoint's files and fine-tuning jobs, in OpenAI's format."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, JsonValue, ValidationError

from trimtab.engine.endpoint import (
    api_key,
    base_url,
    one_line,
    retry_after_s,
    wait_s,
    without_key,
)
from trimtab.engine.openai import LARGEST_BODY
from trimtab.errors import EngineUnavailable, ModelError, TrimtabError
from trimtab.task.spec import ModelSpec
from trimtab.tune.hosted.wire import KEY, Checkpoint, Event, File, Job, Page, readable

ToldT = TypeVar("ToldT", bound=BaseModel)

_TRIES = 7
"""The waits between them add up to half a minute."""
_LONGEST_WAIT_S = 120.0
_CONNECT_S = 10.0
_PAGE = 100
_MOST_PAGES = 100
_PURPOSE = "fine-tune"


class Refused(TrimtabError):
    """The endpoint does not take what was asked of it; the message says why."""


class Busy(TrimtabError):
    """The endpoint makes no more jobs now."""


class Unsure(TrimtabError):
    """Nobody can tell whether the endpoint did what was asked of it."""


@dataclass(frozen=True)
class _Answer:
    status: int
    body: str
    retry_after_s: float | None


class FineTuningClient:
    """One endpoint. Lost connections, 429 and 5xx are tried again with growing waits.

    Every method raises `EngineUnavailable` where the endpoint cannot be reached, refuses the key or
    answers something else, and `Refused` where it does not take this request.
    """

    def __init__(self, spec: ModelSpec, sleep: Callable[[float], None] = time.sleep) -> None:
        """Raises `ModelError` as the engine for the same `spec` does."""
        base = base_url(spec)
        self._base = base.copy_with(path=base.path.rstrip("/") + "/")
        self._key = api_key(spec)
        self._limit_s = spec.timeout_seconds
        self._sleep = sleep

    def probe(self) -> None:
        """Raise `ModelError` where the endpoint has no fine-tuning jobs at all."""
        try:
            self._page("fine_tuning/jobs", {"limit": "1"})
        except Refused as error:
            raise ModelError(
                f"{self._where} cannot train: {error}. It needs OpenAI's files and fine-tuning "
                "jobs; set models.tune to another model, or to null to measure prompts alone"
            ) from error

    def upload(self, name: str, content: bytes) -> str:
        """Put up a file to train on; gives its id."""
        raw = self._call(
            "POST",
            "files",
            data={"purpose": _PURPOSE},
            files={"file": (name, content, "application/jsonl")},
        )
        return self._read(File, raw).id

    def file_named(self, name: str) -> str | None:
        """The id of a file that was put up under this name; None also where files are not listed,
        since a second copy does no harm."""
        try:
            found = list(self._all(File, "files", {"purpose": _PURPOSE}))
        except Refused:
            return None
        return next((each.id for each in found if each.filename == name), None)

    def create(self, wanted: Mapping[str, JsonValue]) -> Job:
        """Make a job.

        Raises:
            Busy: no more jobs are taken now, and none was made.
            Unsure: it may have been made, so that asking again could make a second one.
        """
        return self._read(Job, self._call("POST", "fine_tuning/jobs", once=True, json=dict(wanted)))

    def find(self, key: str, training_file: str) -> Job | None:
        """The job with this key in its metadata, or that trains on this file where the endpoint
        keeps no metadata."""
        for job in self._all(Job, "fine_tuning/jobs", {}):
            if job.metadata.get(KEY, key if job.training_file == training_file else "") == key:
                return job
        return None

    def retrieve(self, job: str) -> Job:
        return self._read(Job, self._call("GET", f"fine_tuning/jobs/{job}"))

    def cancel(self, job: str) -> Job:
        """Stop a job; one that has ended stays as it is."""
        try:
            return self._read(Job, self._call("POST", f"fine_tuning/jobs/{job}/cancel"))
        except Refused:
            return self.retrieve(job)

    def checkpoints(self, job: str) -> tuple[Checkpoint, ...]:
        """In the order of their steps; none where the endpoint keeps none."""
        try:
            path = f"fine_tuning/jobs/{job}/checkpoints"
            page = self._page(path, {"limit": str(_PAGE)})
        except Refused:
            return ()
        return tuple(sorted(readable(Checkpoint, page), key=lambda each: each.step_number))

    def last_error(self, job: str) -> str | None:
        """The last error in a job's log."""
        try:
            page = self._page(f"fine_tuning/jobs/{job}/events", {"limit": str(_PAGE)})
        except Refused:
            return None
        events = readable(Event, page)
        return next((each.message for each in events if each.level == "error"), None)

    @property
    def _where(self) -> str:
        return str(self._base.copy_with(userinfo=b"", query=None)).rstrip("/")

    @cached_property
    def _client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self._key}"} if self._key else {}
        return httpx.Client(
            headers=headers, timeout=httpx.Timeout(self._limit_s, connect=_CONNECT_S)
        )

    def _all(self, kind: type[ToldT], path: str, params: Mapping[str, str]) -> Iterator[ToldT]:
        """Every item of a list, page by page."""
        after: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            page = self._page(path, {**params, "limit": str(_PAGE), **after})
            yield from readable(kind, page)
            last = page.data[-1].get("id") if page.data else None
            if not page.has_more or not isinstance(last, str) or last == after.get("after"):
                return
            after = {"after": last}

    def _page(self, path: str, params: Mapping[str, str]) -> Page:
        return self._read(Page, self._call("GET", path, params=dict(params)))

    def _read(self, kind: type[ToldT], body: str) -> ToldT:
        try:
            return kind.model_validate_json(body)
        except ValidationError as error:
            problem = error.errors()[0]
            place = ".".join(map(str, problem["loc"])) or "all of it"
            raise EngineUnavailable(
                f"{self._where} answered what is no answer of OpenAI's fine-tuning "
                f"({place}: {problem['msg']}): {one_line(body)}"
            ) from error

    def _call(self, method: str, path: str, *, once: bool = False, **content: Any) -> str:
        """The body of a good answer. With `once`, a request that may have arrived is not sent
        again."""
        for tried in range(1, _TRIES + 1):
            wait = wait_s(tried, None)
            try:
                answer = self._try(method, path, content)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                problem = self._told(error)
            except httpx.RequestError as error:
                if once:
                    raise Unsure(self._told(error)) from error
                problem = self._told(error)
            else:
                if answer.status in (200, 201):
                    return answer.body
                self._refuse(answer)
                problem = f"status {answer.status}: {one_line(answer.body)}"
                if once and answer.status != 429:
                    raise Unsure(problem)
                wait = wait_s(tried, answer.retry_after_s)
                if tried == _TRIES and once:
                    raise Busy(problem)
            if tried < _TRIES:
                self._sleep(min(wait, _LONGEST_WAIT_S))
        raise EngineUnavailable(
            f"{self._where} cannot be used: {problem}. Jobs that were made go on there; the same "
            "command goes on with them"
        )

    def _refuse(self, answer: _Answer) -> None:
        """Raise for an answer that trying again would not change."""
        told = f"status {answer.status}: {one_line(answer.body)}"
        if answer.status in (401, 403):
            raise EngineUnavailable(
                f"{self._where} cannot be used: {told}; the key is refused: check the variable "
                "that `api_key_env` names, and that the key may train"
            )
        quota = answer.status == 429 and "insufficient_quota" in answer.body
        if quota or (answer.status < 500 and answer.status not in (408, 409, 429)):
            raise Refused(told)

    def _try(self, method: str, path: str, content: Mapping[str, Any]) -> _Answer:
        """One request. The time limit holds for all of the answer, however slowly it trickles."""
        url = self._base.join(path)
        body = bytearray()
        with self._client.stream(method, url, **content) as response:
            end = time.monotonic() + self._limit_s
            for chunk in response.iter_bytes():
                body += chunk
                if time.monotonic() > end:
                    raise httpx.ReadTimeout(f"no whole answer within {self._limit_s:g} s")
                if len(body) > LARGEST_BODY:
                    break
        text = without_key(bytes(body).decode("utf-8", "replace"), self._key)
        retry = retry_after_s(response.headers.get("retry-after"))
        return _Answer(response.status_code, text, retry)

    def _told(self, error: httpx.RequestError) -> str:
        return without_key(f"{type(error).__name__}: {error}", self._key)
