"""The server as its own process: killed, stopped, refused."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from engine.endpoint import Endpoint, Reply, answer
from trimtab.store.database import Database
from trimtab.store.traces import read_traces

from .servers import decided_task, promote, wait_until


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def log_of(folder: Path) -> Path:
    return folder / "server.log"


def start(folder: Path, url: str, *more: str) -> tuple[subprocess.Popen[bytes], str]:
    """The server, once it answers."""
    port = free_port()
    command = [sys.executable, "-m", "trimtab.cli", "serve", str(folder)]
    with log_of(folder).open("wb") as log:  # a pipe that nobody reads would stop the server
        process = subprocess.Popen(
            [*command, "--port", str(port), "--database", url, *more], stderr=log
        )
    base = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, log_of(folder).read_text()
        try:
            return httpx.get(f"{base}/health").status_code == 200
        except httpx.TransportError:
            return False

    wait_until(answers, seconds=60)
    return process, base


def chat(client: httpx.Client, text: str) -> httpx.Response:
    body = {"model": "names", "messages": [{"role": "user", "content": text}]}
    return client.post("/v1/chat/completions", json=body)


def stored_ids(url: str) -> set[str]:
    database = Database(url)
    found = {trace.id for trace in read_traces(database, "names")}
    database.close()
    return found


def load_until_it_dies(base: str, workers: int) -> tuple[list[threading.Thread], list[str]]:
    """Call on until the server is gone; ids that were acknowledged."""
    acknowledged: list[str] = []

    def ask_on(worker: int) -> None:
        number = 0
        with httpx.Client(base_url=base, timeout=10) as client:
            while True:
                number += 1
                try:
                    found = chat(client, f"Anna {worker}-{number}")
                except httpx.TransportError:
                    return
                assert found.status_code == 200
                acknowledged.append(found.headers["x-trimtab-trace"])

    threads = [threading.Thread(target=ask_on, args=(i,)) for i in range(workers)]
    for thread in threads:
        thread.start()
    return threads, acknowledged


def test_no_acknowledged_trace_is_lost_to_a_kill(folder, database_url) -> None:
    promote(folder, database_url)
    total: list[str] = []
    for more in (20, 60):
        process, base = start(folder, database_url)
        threads, acknowledged = load_until_it_dies(base, workers=8)
        wait_until(lambda acknowledged=acknowledged, more=more: len(acknowledged) > more)
        process.kill()
        process.wait()
        for thread in threads:
            thread.join()
        total += acknowledged
        assert set(total) <= stored_ids(database_url)
    assert len(set(total)) == len(total) > 80


@pytest.fixture
def slow_endpoint():
    """Answers after half a second, once it is told to be slow."""
    server = Endpoint()
    server.slow = False  # type: ignore[attr-defined]

    def script(body: dict, call: int) -> Reply:
        reply = answer("company" if re.search("Ltd|Inc|Sons|Spring", str(body)) else "person")
        reply.wait_s = 0.5 if server.slow else 0.0  # type: ignore[attr-defined]
        return reply

    server.script = script
    yield server
    server.close()


@pytest.fixture
def endpoint_folder(tmp_path, slow_endpoint) -> Path:
    spec = {"engine": "openai", "model": "m", "base_url": slow_endpoint.url, "concurrency": 4}
    decided_task(tmp_path / "task", models={"prompt": spec, "tune": None})
    return tmp_path / "task"


def test_an_endpoint_is_served_and_a_stop_answers_what_is_under_way(
    endpoint_folder, url, slow_endpoint
) -> None:
    promote(endpoint_folder, url)
    process, base = start(endpoint_folder, url)
    with httpx.Client(base_url=base) as client:
        assert chat(client, "Anna").status_code == 200
    slow_endpoint.slow = True
    answers: list[httpx.Response] = []
    clients = [httpx.Client(base_url=base, timeout=20) for _ in range(6)]

    def ask(i: int) -> None:
        answers.append(chat(clients[i], f"Anna {i}"))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    wait_until(lambda: slow_endpoint.now == 4)  # and two wait
    process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert [each.status_code for each in answers] == [200] * 6
    assert process.wait(timeout=20) == 0
    assert {each.headers["x-trimtab-trace"] for each in answers} <= stored_ids(url)
    for client in clients:
        client.close()
    lines = [json.loads(line) for line in log_of(endpoint_folder).read_text().splitlines() if line]
    calls = [line for line in lines if line["event"] == "call"]
    assert len(calls) == 7
    assert all("Anna" not in json.dumps(line) for line in lines), "a text is in the log"


def refused(folder: Path, *more: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "trimtab.cli", "serve", str(folder), *more],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 2, ended.stderr.decode()
    return ended.stderr.decode()


def test_without_a_key_other_machines_are_not_served(folder, url) -> None:
    promote(folder, url)
    assert "has no key" in refused(folder, "--host", "0.0.0.0", "--database", url)


def test_a_promoted_run_that_is_gone_is_said_at_the_start(folder, url) -> None:
    promote(folder, url)
    for run in (folder / "runs").glob("*-*"):
        run.rename(run.with_name("moved"))
    assert "run.json is missing" in refused(folder, "--port", "0", "--database", url)


def test_a_killed_server_does_not_hold_the_database(folder, url) -> None:
    promote(folder, url)
    process, base = start(folder, url)
    process.kill()
    process.wait()
    started = time.monotonic()
    promote(folder, url)
    assert time.monotonic() - started < 4
    del base
