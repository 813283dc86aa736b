"""kill -9 of the server under load, again and again: is every acknowledged trace in the database?

    python benchmarks/serve_kill.py [--kills 20] [--seed 0] [--database URL]

Calls come over 16 connections as fast as they are answered, until the server is killed at a random
moment of the next second; then it is started again. An answer whose header names its trace is an
acknowledgement. Prints one JSON line, and exits with 1 where a trace is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import subprocess
import sys
import tempfile
from itertools import count
from pathlib import Path

from _load import chat_request, connect
from _servers import decided_task, instant_endpoint, promote_winner, trimtab_server

from trimtab.store.database import Database
from trimtab.store.traces import read_traces

CONNECTIONS = 16
_TRACE = re.compile(rb"x-trimtab-trace: ([0-9a-f]{28})\r\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", help="by default a SQLite file")
    options = parser.parse_args()
    draw = random.Random(options.seed)  # noqa: S311 - reproducible, not secret
    acknowledged: list[str] = []
    with tempfile.TemporaryDirectory() as temporary, instant_endpoint(0) as endpoint:
        folder = Path(temporary) / "task"
        decided_task(folder, endpoint)
        url = options.database or str(folder / "production.sqlite")
        promote_winner(folder, url)
        for number in range(1, options.kills + 1):
            with trimtab_server(folder, url, core=1) as (port, process):
                found = asyncio.run(until_killed(port, process, draw.uniform(0.1, 1.0)))
            print(f"kill {number}: {len(found)} acknowledged", file=sys.stderr)
            acknowledged += found
        database = Database(url)
        stored = {trace.id for trace in read_traces(database, "names")}
        database.close()
    lost = len(set(acknowledged) - stored)
    figures = {"kills": options.kills, "acknowledged": len(acknowledged), "lost": lost}
    print(json.dumps(figures | {"stored_without_acknowledgement": len(stored - set(acknowledged))}))
    sys.exit(1 if lost else 0)


async def until_killed(port: int, process: subprocess.Popen[bytes], seconds: float) -> list[str]:
    """Ids that were acknowledged before the server died."""
    found: list[str] = []
    numbers = count()

    async def call_on() -> None:
        connection = await connect(port)
        while True:
            request = chat_request(port, "names", f"Anna {next(numbers)}")
            try:
                answer = await connection.call(request)
            except ConnectionError:
                return
            match = _TRACE.search(answer)
            assert match, answer[:500]
            found.append(match[1].decode())

    callers = [asyncio.create_task(call_on()) for _ in range(CONNECTIONS)]
    await asyncio.sleep(seconds)
    process.kill()
    await asyncio.gather(*callers)
    return found


if __name__ == "__main__":
    main()
