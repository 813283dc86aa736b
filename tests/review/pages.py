"""A review server on loopback in a thread of this process, and a browser that is only a client."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from serve.servers import wait_until
from trimtab.review.app import ReviewServer
from trimtab.review.settings import ReviewSettings
from trimtab.store.database import Database
from trimtab.store.reviewers import add_reviewer
from trimtab.store.reviews import Batch, Item, add_batch
from trimtab.store.traces import new_id
from trimtab.task.load import load_task

PASSWORD = "correct horse battery"
ADDRESS = {
    "kind": "json",
    "schema": {
        "type": "object",
        "additionalProperties": False,
        "required": ["city"],
        "properties": {
            "city": {"type": "string"},
            "zip": {"type": "string"},
            "floor": {"type": "integer"},
            "kind": {"enum": ["home", "work"]},
            "lift": {"type": "boolean"},
            "names": {"type": "array", "items": {"type": "string"}},
            "geo": {"type": "object", "properties": {"lat": {"type": "number"}}},
        },
    },
}


def item(text: str = "Anna Brown", answer: str = "person", **more: Any) -> Item:
    fields: dict[str, Any] = {
        "id": new_id(),
        "task": "names",
        "batch": 1,
        "place": 0.5,
        "source": "trace",
        "origin": new_id(),
        "reason": "random",
        "probability": 0.5,
        "input": text,
        "answer": answer,
    } | more
    return Item(**fields)


def add_items(url: str, *items: Item) -> None:
    """Each in a batch of its own place."""
    database = Database(url)
    number = max([each.batch for each in items], default=1)
    batch = Batch(
        task=items[0].task,
        number=number,
        time=datetime.now(UTC),
        source=items[0].source,
        until=items[-1].origin,
        frame=len(items),
        drawn=len(items),
    )
    assert add_batch(database, batch, items)
    database.close()


def add_people(url: str, *names: str, task: str = "names") -> None:
    """Reviewers with these names; one whose name begins with `admin` is one."""
    database = Database(url)
    for name in names:
        role = "admin" if name.startswith("admin") else "reviewer"
        add_reviewer(database, task, name, role, PASSWORD, "a test")
    database.close()


class Browser:
    """Keeps cookies, reads forms from pages, and sends them as a browser would."""

    def __init__(self, base: str) -> None:
        self.client = httpx.Client(base_url=base, timeout=30, follow_redirects=True)
        self.page = ""
        self.status = 0

    def get(self, path: str) -> str:
        return self._keep(self.client.get(path))

    def post(self, path: str, fields: dict[str, str], **options: Any) -> str:
        data = {"token": self.token, **fields}
        return self._keep(self.client.post(path, data=data, **options))

    def log_in(self, name: str, password: str = PASSWORD) -> str:
        return self._keep(self.client.post("/login", data={"name": name, "password": password}))

    @property
    def token(self) -> str:
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.page)
        return found[1] if found else ""

    @property
    def item(self) -> str:
        """Id of the item on the page."""
        found = re.search(r'action="/review/([0-9a-f]+)"', self.page)
        assert found, self.page
        return found[1]

    def say(self, **fields: str) -> str:
        return self.post(f"/review/{self.item}", fields)

    def _keep(self, answer: httpx.Response) -> str:
        self.status, self.page = answer.status_code, answer.text
        return self.page


class Running:
    """A review server under test."""

    def __init__(self, folder: Path, url: str, settings: ReviewSettings) -> None:
        task = load_task(folder)
        self.url = url
        self.server = ReviewServer(task, folder, settings, url, "127.0.0.1")
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.base = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        config = uvicorn.Config(self.server.app(), log_config=None, access_log=False)
        self.uvicorn = uvicorn.Server(config)
        self.uvicorn.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        asyncio.run(self.uvicorn.serve(sockets=[self.socket]))

    def start(self) -> None:
        self.thread.start()
        wait_until(lambda: self.uvicorn.started)

    def stop(self) -> None:
        self.uvicorn.should_exit = True
        self.thread.join(timeout=30)
        assert not self.thread.is_alive(), "the server did not end"

    def browser(self, name: str | None = None) -> Browser:
        browser = Browser(self.base)
        if name is not None:
            browser.log_in(name)
            assert browser.status == 200
        return browser


@contextmanager
def reviewing(folder: Path, url: str, **settings: object) -> Iterator[Running]:
    server = Running(folder, url, ReviewSettings.model_validate(settings))
    server.start()
    try:
        yield server
    finally:
        server.stop()
