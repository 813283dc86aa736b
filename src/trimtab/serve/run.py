"""Starts the server, and ends it with every call answered."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable
from pathlib import Path

import uvloop

from trimtab.errors import InputError
from trimtab.serve.app import Server
from trimtab.serve.listen import listen
from trimtab.serve.live import Loader
from trimtab.serve.log import log_to_stderr
from trimtab.serve.settings import load_settings
from trimtab.store.database import Database
from trimtab.task.load import TASK_FILE, load_task

_DRAIN_S = 10.0
"""On top of the longest call: for shadows and the last commit."""


def serve(
    task_path: Path, host: str, port: int, database_url: str, progress: Callable[[str], None]
) -> None:
    """Serve the task until SIGTERM or Ctrl-C; calls under way are then still answered.

    Raises:
        InputError: there is no key and the host is not this machine; or as the task file, the
            database and the promoted variants have it.
    """
    folder = task_path if task_path.is_dir() else task_path.parent
    task = load_task(folder / TASK_FILE if task_path.is_dir() else task_path)
    settings = load_settings(folder)
    Database(database_url).close()  # a wrong URL ends here, before anything is loaded
    log_to_stderr()
    loader = Loader(folder, settings.limits, progress)
    server = Server(task, settings, database_url, loader)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(server, host, port, settings.limits.timeout_seconds))


async def _run(server: Server, host: str, port: int, longest_s: float) -> None:
    try:
        await server.start()
        if not server.needs_keys and not _is_this_machine(host):
            raise InputError(
                f"{host} can be reached from other machines, and the task has no key: make one "
                "with `trimtab key add`, or serve on 127.0.0.1"
            )
    except BaseException:
        await server.close()
        raise
    await listen(server.app(), host, port, int(longest_s + _DRAIN_S))


def _is_this_machine(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
