"""What a team does with a task: commands as processes, servers, and the database behind them."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from serve.servers import wait_until
from trimtab import cli
from trimtab.store.database import Database
from trimtab.store.deployments import Change, current, history

START_S = 120.0
"""A server loads its model first, on a machine that may be busy."""


@dataclass(frozen=True)
class Team:
    """One task folder with its database; each command is a process with this environment."""

    folder: Path
    url: str
    environment: Mapping[str, str]

    def trimtab(self, *arguments: object, codes: tuple[int, ...] = (0,)) -> str:
        """What the command printed; it must end with one of `codes`."""
        ended = subprocess.run(
            [sys.executable, "-m", "trimtab.cli", *map(str, arguments)],
            env=self._environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode in codes, ended.stdout + ended.stderr
        return ended.stdout

    def here(self, *arguments: object) -> str:
        """As `trimtab`, but in this process, where tests keep a decision small."""
        told = io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(told):
            for name, value in self._own.items():
                patch.setenv(name, value)
            patch.setattr(sys, "argv", ["trimtab", *map(str, arguments)])
            with pytest.raises(SystemExit) as ended:
                cli.main()
        assert not ended.value.code, told.getvalue()
        return told.getvalue()

    def look(self) -> dict[str, Any]:
        """What one `trimtab watch --once` found; it fails where an alarm stands."""
        command = ("watch", self.folder, "--once", "--json")
        found: dict[str, Any] = json.loads(self.trimtab(*command, codes=(0, 1)))
        return found

    @contextmanager
    def database(self) -> Iterator[Database]:
        opened = Database(self.url)
        try:
            yield opened
        finally:
            opened.close()

    @property
    def serving(self) -> Change:
        """The newest change of what serves."""
        with self.database() as database:
            found = current(database, "names")
        assert found is not None
        return found

    @property
    def changes(self) -> list[Change]:
        """All of them, the newest first."""
        with self.database() as database:
            return history(database, "names", last=1000)

    @contextmanager
    def running(self, verb: str) -> Iterator[str]:
        """`trimtab serve` or `trimtab review`, once it answers: its address. On SIGTERM it must end
        well."""
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        base = f"http://127.0.0.1:{port}"
        log = self.folder / f"{verb}.log"
        command = [sys.executable, "-m", "trimtab.cli", verb, str(self.folder)]
        with log.open("ab") as out:  # a pipe that nobody reads would stop the server
            process = subprocess.Popen(
                [*command, "--port", str(port)], env=self._environment, stderr=out
            )

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            try:
                return httpx.get(f"{base}/health").status_code == 200
            except httpx.TransportError:
                return False

        try:
            wait_until(answers, START_S)
            yield base
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=60) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()

    @property
    def _own(self) -> dict[str, str]:
        return {**self.environment, "TRIMTAB_DATABASE": self.url, "COLUMNS": "300"}

    @property
    def _environment(self) -> dict[str, str]:
        return os.environ | self._own
