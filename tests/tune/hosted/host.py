"""A host of our own on loopback: OpenAI's files, fine-tuning jobs and chat; it trains for real."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import math
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tiny import load_in_float32
from trimtab.tune.export.chat_rows import read_rows
from trimtab.tune.lora import TrainSettings, train
from trimtab.types import Completion, Decoding, Message, OutputContract, Request

BASE = "base-model"
KEY = "secret-of-the-host"
_BATCH = 4
_FEWEST_ROWS = 10


@dataclass
class Fault:
    """What the host answers instead, `times` times, to requests that match."""

    method: str
    path: str
    status: int = 500
    body: str = '{"error": {"message": "a fault"}}'
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    done_first: bool = False
    """Do what was asked, and only then answer so."""


class _Cancelled(Exception):
    pass


class Engines:
    """Two copies of one model: one trains while the other answers. Hosts may share them."""

    def __init__(self, model: Path) -> None:
        self.trainer, self.server = load_in_float32(model), load_in_float32(model)
        self.lock = threading.Lock()


class Host:
    """`jobs` and `files` are what it holds, `asked` what it was asked, as (method, path)."""

    def __init__(self, engines: Engines, folder: Path) -> None:
        self.folder = folder
        self.files: dict[str, dict[str, Any]] = {}
        self.contents: dict[str, bytes] = {}
        self.jobs: dict[str, dict[str, Any]] = {}
        self.wishes: list[dict[str, Any]] = []
        """The bodies that asked for jobs."""
        self.served: dict[str, Path] = {}
        """Adapter folders of tuned models, by name."""
        self.checkpoints: dict[str, list[dict[str, Any]]] = {}
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, str]] = []
        self.chats: list[str] = []
        """Models that were called."""
        self.go = threading.Event()
        self.held: Callable[[dict[str, Any]], bool] = lambda job: False
        """Whether a job waits for `go` before it trains."""
        self.keeps_metadata = True
        self.tells_tokens = True
        self.keeps_checkpoints = True
        self.most_jobs = 99
        self.change: Callable[[dict[str, Any]], dict[str, Any]] = lambda job: job
        """Last hand on a job before it is told."""
        self.rate = 5e-3
        self._engines = engines
        self._queue: SimpleQueue[str | None] = SimpleQueue()
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._worker.start()

    # --- over HTTP ---------------------------------------------------------------------------

    def app(self) -> Starlette:
        job = "/v1/fine_tuning/jobs/{id}"
        return Starlette(
            routes=[
                self._route("POST", "/v1/files", self._put_file),
                self._route("GET", "/v1/files", self._list_files),
                self._route("POST", "/v1/fine_tuning/jobs", self._make_job),
                self._route("GET", "/v1/fine_tuning/jobs", self._list_jobs),
                self._route("GET", job, self._get_job),
                self._route("POST", f"{job}/cancel", self._cancel_job),
                self._route("GET", f"{job}/events", self._list_events),
                self._route("GET", f"{job}/checkpoints", self._list_checkpoints),
                self._route("POST", "/v1/chat/completions", self._chat),
            ]
        )

    def _route(self, method: str, path: str, handler: Callable) -> Route:
        async def answer(request: HttpRequest) -> Response:
            self.asked.append((method, request.url.path))
            if request.headers.get("authorization") != f"Bearer {KEY}":
                return _refusal(401, "this key is not known", "invalid_api_key")
            fault = self._fault(method, request.url.path)
            body = await request.body()
            if fault is not None and not fault.done_first:
                return Response(fault.body, fault.status, fault.headers)
            found = await asyncio.to_thread(handler, request, body)
            return found if fault is None else Response(fault.body, fault.status, fault.headers)

        return Route(path, answer, methods=[method])

    def _fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times and fault.method == method and re.search(fault.path, path):
                fault.times -= 1
                return fault
        return None

    def _put_file(self, request: HttpRequest, body: bytes) -> Response:
        form = _form(request.headers["content-type"], body)
        name, content = form["file"]
        purpose = form["purpose"][1].decode()
        if purpose != "fine-tune":
            return _refusal(400, f"purpose {purpose!r} is not supported")
        found = {
            "id": f"file-{len(self.files) + 1:04d}",
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": name,
            "purpose": purpose,
            "status": "processed",
        }
        self.files[found["id"]] = found
        self.contents[found["id"]] = content
        return JSONResponse(found)

    def _list_files(self, request: HttpRequest, body: bytes) -> Response:
        return _page(request, list(self.files.values())[::-1])

    def _make_job(self, request: HttpRequest, body: bytes) -> Response:
        wish = json.loads(body)
        if wish["model"] != BASE:
            return _refusal(400, f"model {wish['model']!r} cannot be tuned", "model_not_available")
        for name in ("training_file", "validation_file"):
            if wish.get(name) is not None and wish[name] not in self.files:
                return _refusal(400, f"{name} {wish[name]!r} does not exist", "invalid_file")
        if sum(job["finished_at"] is None for job in self.jobs.values()) >= self.most_jobs:
            return _refusal(429, "too many jobs", "rate_limit_exceeded", {"retry-after": "0"})
        self.wishes.append(wish)
        tried = wish.get("method", {}).get("supervised", {}).get("hyperparameters", {})
        epochs = tried.get("n_epochs", "auto")
        job = {
            "id": f"ftjob-{len(self.jobs) + 1:04d}",
            "object": "fine_tuning.job",
            "created_at": int(time.time()),
            "finished_at": None,
            "status": "validating_files",
            "model": BASE,
            "fine_tuned_model": None,
            "trained_tokens": None,
            "training_file": wish["training_file"],
            "validation_file": wish.get("validation_file"),
            "result_files": [],
            "organization_id": "org-1",
            "seed": wish.get("seed", 0),
            "error": None,
            "hyperparameters": {
                "n_epochs": 3 if epochs == "auto" else epochs,
                "batch_size": _BATCH,
                "learning_rate_multiplier": 1.0,
            },
            "metadata": wish.get("metadata") if self.keeps_metadata else None,
            "suffix": wish.get("suffix"),
        }
        self.jobs[job["id"]] = job
        self._queue.put(job["id"])
        return self._told(job)

    def _list_jobs(self, request: HttpRequest, body: bytes) -> Response:
        return _page(request, list(self.jobs.values())[::-1])

    def _get_job(self, request: HttpRequest, body: bytes) -> Response:
        job = self.jobs.get(request.path_params["id"])
        return _refusal(404, "no such job") if job is None else self._told(job)

    def _cancel_job(self, request: HttpRequest, body: bytes) -> Response:
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            return _refusal(404, "no such job")
        if job["finished_at"] is not None:
            return _refusal(400, f"job {job['id']} has already ended")
        job["status"] = "cancelled"
        job["finished_at"] = int(time.time())
        return self._told(job)

    def _list_events(self, request: HttpRequest, body: bytes) -> Response:
        job = self.jobs[request.path_params["id"]]
        lines = [("info", "made"), ("error" if job["error"] else "info", job["status"])]
        events = [
            {
                "object": "fine_tuning.job.event",
                "id": f"ftevent-{i}",
                "created_at": job["created_at"],
                "level": level,
                "message": message,
                "type": "message",
            }
            for i, (level, message) in enumerate(lines)
        ]
        return _page(request, events[::-1])

    def _list_checkpoints(self, request: HttpRequest, body: bytes) -> Response:
        if not self.keeps_checkpoints:
            return _refusal(404, "no such page")
        return _page(request, self.checkpoints.get(request.path_params["id"], [])[::-1])

    def _chat(self, request: HttpRequest, body: bytes) -> Response:
        wish = json.loads(body)
        name = wish["model"]
        if name != BASE and name not in self.served:
            return _refusal(404, f"no model {name!r}", "model_not_found")
        self.chats.append(name)
        schema = wish.get("response_format", {}).get("json_schema", {}).get("schema")
        contract = OutputContract(kind="json", json_schema=schema) if schema else None
        asked = Request(
            messages=tuple(Message.model_validate(each) for each in wish["messages"]),
            decoding=Decoding(
                max_tokens=wish["max_tokens"],
                temperature=wish.get("temperature", 0),
                seed=wish.get("seed", 0),
                contract=contract,
            ),
            adapter=str(self.served[name]) if name in self.served else None,
        )
        with self._engines.lock:
            ((_, answer),) = self._engines.server.generate([asked])
        if not isinstance(answer, Completion):
            return _refusal(400, answer.message, "context_length_exceeded")
        return JSONResponse(_completion(name, answer))

    def _told(self, job: dict[str, Any]) -> Response:
        told = {**job, "trained_tokens": job["trained_tokens"] if self.tells_tokens else None}
        return JSONResponse(self.change(told))

    # --- training ----------------------------------------------------------------------------

    def _work(self) -> None:
        while (name := self._queue.get()) is not None:
            job = self.jobs[name]
            if self.held(job):
                self.go.wait()
            try:
                self._train(job)
            except _Cancelled:
                pass
            except ValueError as error:
                self._fail(job, str(error))

    def _train(self, job: dict[str, Any]) -> None:
        trained = 0

        def on_tokens(tokens: int) -> None:
            nonlocal trained
            trained += tokens
            if job["status"] == "cancelled":
                job["trained_tokens"] = trained
                raise _Cancelled

        on_tokens(0)
        rows = self._rows(job["training_file"])
        if len(rows) < _FEWEST_ROWS:
            raise ValueError(f"{len(rows)} rows; {_FEWEST_ROWS} are needed")
        dev = self._rows(job["validation_file"]) if job["validation_file"] else rows[:2]
        job["status"] = "running"
        settings = TrainSettings(
            learning_rate=self.rate,
            epochs=job["hyperparameters"]["n_epochs"],
            batch_size=_BATCH,
            seed=job["seed"],
        )
        base = f"ft:{BASE}:{job['suffix'] or 'x'}:{job['id'][6:]}"
        steps = math.ceil(len(rows) / _BATCH)
        for epoch in train(
            self._engines.trainer, rows, dev, settings, self.folder / job["id"], on_tokens
        ):
            last = epoch.number == settings.epochs
            name = base if last else f"{base}:ckpt-step-{epoch.number * steps}"
            self.served[name] = epoch.adapter
            self.checkpoints.setdefault(job["id"], []).append(
                {
                    "object": "fine_tuning.job.checkpoint",
                    "id": f"ftckpt-{job['id'][6:]}-{epoch.number}",
                    "created_at": int(time.time()),
                    "fine_tuned_model_checkpoint": name,
                    "fine_tuning_job_id": job["id"],
                    "step_number": epoch.number * steps,
                    "metrics": {"full_valid_loss": epoch.dev_loss, "step": epoch.number * steps},
                }
            )
        job.update(
            trained_tokens=trained,
            fine_tuned_model=base,
            finished_at=int(time.time()),
            status="succeeded",
        )

    def _rows(self, name: str) -> list[Any]:
        path = self.folder / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.contents[name])
        return read_rows(path, self._engines.trainer.template)

    def _fail(self, job: dict[str, Any], why: str) -> None:
        error = {"code": "invalid_training_file", "message": why, "param": "training_file"}
        job.update(status="failed", error=error, finished_at=int(time.time()))

    def close(self) -> None:
        self.go.set()
        for job in self.jobs.values():
            if job["finished_at"] is None:
                job["status"] = "cancelled"
        self._queue.put(None)
        self._worker.join(timeout=30)


class Running:
    """The host at `url`, and whatever it holds."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(host.app(), log_config=None, access_log=False)
        )
        self._uvicorn.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._uvicorn.serve(sockets=[self._socket])), daemon=True
        )
        self._thread.start()
        while not self._uvicorn.started:
            time.sleep(0.01)

    def close(self) -> None:
        self.host.close()
        self._uvicorn.should_exit = True
        self._thread.join(timeout=30)


@contextmanager
def running(engines: Engines, folder: Path):
    """A host that tunes and serves a model."""
    started = Running(Host(engines, folder))
    try:
        yield started
    finally:
        started.close()


def _form(content_type: str, body: bytes) -> dict[str, tuple[str | None, bytes]]:
    """The parts of a multipart form: (file name, content) by their names."""
    head = f"content-type: {content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    return {
        part.get_param("name", header="content-disposition"): (  # type: ignore[misc]
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()  # type: ignore[attr-defined]
    }


def _page(request: HttpRequest, items: list[dict[str, Any]]) -> Response:
    limit, after = int(request.query_params.get("limit", 20)), request.query_params.get("after")
    names = [item["id"] for item in items]
    start = names.index(after) + 1 if after else 0
    data = items[start : start + limit]
    return JSONResponse(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": start + limit < len(items),
        }
    )


def _completion(model: str, answer: Completion) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": answer.text},
                "finish_reason": answer.finish,
            }
        ],
        "usage": {
            "prompt_tokens": answer.tokens_in,
            "completion_tokens": answer.tokens_out,
            "total_tokens": answer.tokens_in + answer.tokens_out,
        },
    }


def _refusal(
    status: int, message: str, code: str | None = None, headers: dict[str, str] | None = None
) -> Response:
    kind = "invalid_request_error"
    error = {"message": message, "type": kind, "param": None, "code": code}
    return JSONResponse({"error": error}, status, headers)
