"""What the serving benchmarks start: an instant endpoint, and `trimtab serve` in front of it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from _load import serve_instantly

from trimtab import pipeline
from trimtab.serve.promotion import find_candidate
from trimtab.store.database import Database
from trimtab.store.deployments import promote

_TASK = """\
name: names
instructions: Decide whether the name belongs to a person or to a company.
data: {{path: rows.jsonl, approved_by: nobody, dev: 10, test: 20}}
output: {{kind: label, labels: [person, company]}}
metric: accuracy
goals: {{quality: 0.4}}
models:
  prompt: {{engine: openai, model: m, base_url: "http://127.0.0.1:{port}/v1", concurrency: 32,
    timeout_seconds: {timeout_s}}}
  tune: null
search: {{demonstrations: [4]}}
"""
_SETTINGS = """\
limits: {calls_per_minute: 1000000, concurrent_calls: 10000, waiting_calls: 10000}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@contextmanager
def instant_endpoint(core: int) -> Iterator[int]:
    """Runs the endpoint in a process of its own; gives its port."""
    port = free_port()
    command = [sys.executable, __file__, str(port)]
    with started(command, f"http://127.0.0.1:{port}/", core):
        yield port


def decided_task(
    folder: Path, port: int, *, timeout_s: float = 60, settings: str = _SETTINGS
) -> None:
    """A task with a finished run against the endpoint on `port`; `timeout_s` is that of its calls,
    `settings` what `serve.yaml` holds."""
    folder.mkdir(parents=True)
    (folder / "task.yaml").write_text(_TASK.format(port=port, timeout_s=timeout_s), "utf-8")
    (folder / "serve.yaml").write_text(settings, "utf-8")
    draw = random.Random(0)  # noqa: S311 - reproducible, not secret
    words = ["".join(draw.choices("aeioulmnrst", k=6)) for _ in range(400)]
    rows = [
        {"input": f"{words[2 * i]} {words[2 * i + 1]}", "output": ("person", "company")[i % 2]}
        for i in range(120)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    pipeline.decide(folder)


def promote_winner(folder: Path, url: str) -> None:
    found = find_candidate(str(folder / "runs" / "latest"), folder)
    database = Database(url)
    promote(database, found.task, found.deployed, "champion", 0.0, "a benchmark", "to measure")
    database.close()


@contextmanager
def trimtab_server(
    folder: Path,
    url: str,
    core: int,
    *,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Runs `trimtab serve` on one core; gives its port and process."""
    port = free_port()
    command = [sys.executable, "-m", "trimtab.cli", "serve", str(folder), "--port", str(port)]
    command += ["--database", url]
    health = f"http://127.0.0.1:{port}/health"
    with started(command, health, core, log=log, environment=environment) as process:
        yield port, process


@contextmanager
def started(
    command: Sequence[str],
    url: str,
    core: int,
    *,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a server on one core, from when it answers until the end. What it writes to stderr goes
    to `log`; `environment` is on top of this process's own."""
    with Path(log or os.devnull).open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            env={**os.environ, **(environment or {})},
            preexec_fn=partial(os.sched_setaffinity, 0, {core}),  # noqa: PLW1509 - no threads yet
        )
    try:
        _wait_for(url, process)
        yield process
    finally:
        process.terminate()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            urllib.request.urlopen(url, timeout=5).read()  # noqa: S310 - loopback
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer")


if __name__ == "__main__":
    asyncio.run(serve_instantly(int(sys.argv[1])))
