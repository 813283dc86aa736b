"""Tasks with a finished run, and a server of them on loopback in a thread of this process."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from decisions import write_task
from trimtab import pipeline
from trimtab.serve.app import Server
from trimtab.serve.live import Loader
from trimtab.serve.promotion import Candidate, find_candidate
from trimtab.serve.settings import ServeSettings
from trimtab.store import deployments
from trimtab.store.database import Database
from trimtab.store.traces import Trace, read_traces
from trimtab.task.load import load_task
from trimtab.types import Decision, Prompt, Variant

FIXED = ("Say person.", "Say company.")
"""Instructions, and names, of variants whose prompt is the same for all inputs."""


def decided_task(folder: Path, **changes: object) -> Decision:
    """A task of the fake engine with a finished run, which also has the variants `FIXED`."""
    decided = pipeline.decide(write_task(folder, **changes))
    model = decided.decision.variants[0].model
    more = [
        Variant(name=name, arm="prompt", model=model, prompt=Prompt(system=name), max_tokens=8)
        for name in FIXED
    ]
    variants = (*decided.decision.variants, *more)
    decision = decided.decision.model_copy(update={"variants": variants})
    (decided.folder / "verdict.json").write_text(decision.model_dump_json(by_alias=True))
    return decision


def promote(
    folder: Path, url: str, target: str | None = None, role: str = "champion", share: float = 0.1
) -> Candidate:
    """Promote a variant by id, or the winner of the newest run."""
    found = find_candidate(target or str(folder / "runs" / "latest"), folder)
    database = Database(url)
    deployments.promote(database, found.task, found.deployed, role, share, "a test", "to test")
    database.close()
    return found


class Running:
    """A server under test. `make` may replace the engines."""

    def __init__(self, folder: Path, url: str, settings: ServeSettings, **loader: object) -> None:
        self.task = load_task(folder)
        self.url = url
        self.loader = Loader(folder, settings.limits, lambda line: None, **loader)  # type: ignore[arg-type]
        self.server = Server(self.task, settings, url, self.loader)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.base = f"http://127.0.0.1:{self.port}"
        self.client = httpx.Client(base_url=self.base, timeout=30)
        config = uvicorn.Config(self.server.app(), log_config=None, access_log=False)
        self.uvicorn = uvicorn.Server(config)
        self.uvicorn.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        async def serve() -> None:
            await self.server.start()
            await self.uvicorn.serve(sockets=[self.socket])

        asyncio.run(serve())

    def start(self) -> None:
        self.thread.start()
        wait_until(lambda: self.uvicorn.started)

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join(timeout=30)
        self.client.close()
        assert not self.thread.is_alive(), "the server did not end"

    def chat(self, text: str = "Anna Brown", **fields: object) -> httpx.Response:
        headers: Any = fields.pop("headers", None)
        body = {"model": self.task.name, "messages": [{"role": "user", "content": text}]} | fields
        return self.client.post(
            "/v1/chat/completions", content=json.dumps(body).encode(), headers=headers
        )

    def traces(self) -> list[Trace]:
        database = Database(self.url)
        found = list(read_traces(database, self.task.name))
        database.close()
        return found

    def metric(self, line: str) -> float:
        """The value behind `line` in /metrics; 0 where it is not there yet."""
        for each in self.client.get("/metrics").text.splitlines():
            if each.startswith(f"{line} "):
                return float(each.rsplit(" ", 1)[1])
        return 0.0


@contextmanager
def running(
    folder: Path, url: str, settings: ServeSettings | None = None, **loader: object
) -> Iterator[Running]:
    server = Running(folder, url, settings or ServeSettings(), **loader)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def wait_until(holds, seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
