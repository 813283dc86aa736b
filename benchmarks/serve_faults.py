"""What callers meet, and what is kept, while something around the server fails under load.

    python benchmarks/serve_faults.py [--only WORDS]

A real server process, an endpoint of the benchmark's own behind it, 16 callers side by side. For
each fault the calls of three spans are counted: a second before it, the fault, and until all
callers were answered and acknowledged again. An answer shows which variant made it, so a wrong one
is found. `--only` runs the faults whose name holds these words. A full disk needs root (it mounts a
tmpfs), PostgreSQL its server, clock jumps libfaketime: those that cannot run here are named as left
out. Prints a line a fault and one JSON line last; exits with 1 where an acknowledged trace is
missing, a wrong variant answered or an error was not in the interface's shape.
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _callers import Counted, count_calls, keep_calling, peak_mb
from _faulty import GARBAGE, LABELS, FaultyEndpoint
from _servers import decided_task, trimtab_server

from trimtab.store import deployments
from trimtab.store.database import Database
from trimtab.store.deployments import Deployed
from trimtab.types import Decision, Prompt, Variant

TASK = "names"
ENDPOINT_S = 2.0
LIMIT_S = 12
"""Longest call, above what the engine's five tries at a lost connection take."""
SETTINGS = (
    "limits: {calls_per_minute: 1000000, concurrent_calls: 10000, waiting_calls: 10000, "
    f"timeout_seconds: {LIMIT_S}}}\n"
)
BEFORE_S, FAULT_S = 1.0, 3.0
LOCKED_S = 8.0
"""Longer than a commit waits for SQLite's lock, and than an answer waits for its trace."""
CHANGES = 12
DISK = "size=16m"
_FAKETIME = "*/faketime/libfaketimeMT.so.1"


@dataclass(frozen=True)
class Bench:
    """What all servers share: a task with two variants, and the endpoint that answers for them."""

    folder: Path
    endpoint: FaultyEndpoint
    deployed: Mapping[str, Deployed]
    """By the label that the variant answers."""

    @property
    def clock(self) -> Path:
        """Holds how far the clock is off."""
        return self.folder / "clock"


@dataclass(frozen=True)
class Site:
    """A running server, and where it writes."""

    bench: Bench
    url: str
    port: int
    pid: int
    log: Path


Place = Callable[[Bench], AbstractContextManager[Site]]
Fault = Callable[[Site], Awaitable[None]]
"""Makes a fault and ends it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    figures: dict[str, Counted] = {}
    left_out: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as temporary:
        endpoint = FaultyEndpoint()
        folder = Path(temporary) / "task"
        decided_task(folder, endpoint.port, timeout_s=ENDPOINT_S, settings=SETTINGS)
        bench = Bench(folder, endpoint, add_variants(folder))
        for place, faults in PLACES:
            wanted = {name: fault for name, fault in faults.items() if options.only in name}
            if not wanted:
                continue
            try:
                with place(bench) as site:
                    figures |= {name: run(site, name, fault) for name, fault in wanted.items()}
            except NotHereError as reason:
                left_out |= dict.fromkeys(wanted, str(reason))
        endpoint.close()
    shown = {name: counted.shown() for name, counted in figures.items()}
    print(json.dumps({"faults": shown, "left_out": left_out}))
    sys.exit(any(counted.is_bad for counted in figures.values()))


class NotHereError(Exception):
    """What a fault needs is not on this machine."""


def run(site: Site, name: str, fault: Fault) -> Counted:
    async def under_load() -> Counted:
        async with keep_calling(site.port, TASK) as load:
            await asyncio.sleep(BEFORE_S)
            await fault(site)
            ended = load.now()
            health = await load.health()
            await load.all_well_since(ended)
        labels = {each.variant: label for label, each in site.bench.deployed.items()}
        return count_calls(load.calls, ended, site.url, TASK, labels, health)

    tracebacks = site.log.read_text().count('"traceback"')
    counted = asyncio.run(under_load())
    counted.tracebacks = site.log.read_text().count('"traceback"') - tracebacks
    counted.server_mb = peak_mb(site.pid)
    print(f"{name}: {counted.shown()}", file=sys.stderr)
    return counted


def upstream(fault: str) -> Fault:
    async def break_it(site: Site) -> None:
        site.bench.endpoint.fault = fault
        await asyncio.sleep(FAULT_S)
        site.bench.endpoint.fault = None

    return break_it


async def upstream_gone(site: Site) -> None:
    await asyncio.to_thread(site.bench.endpoint.go)
    await asyncio.sleep(FAULT_S)
    await asyncio.to_thread(site.bench.endpoint.listen)


async def locked(site: Site) -> None:
    """Another program writes to the SQLite file, and takes its time."""
    database = Database(site.url)
    with database.transaction():
        await asyncio.sleep(LOCKED_S)
    database.close()


async def changes(site: Site) -> None:
    """Promotions in turn, every third one a rollback."""
    database = Database(site.url)
    for number in range(CHANGES):
        if number % 3 == 2:
            deployments.roll_back(database, TASK, None, "a benchmark", "to measure")
        else:
            promote(database, list(site.bench.deployed.values())[number % 2])
        await asyncio.sleep(0.6)
    database.close()


async def disk_full(site: Site) -> None:
    ballast = Path(site.url).with_name("ballast")
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 10, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    await asyncio.sleep(FAULT_S)
    ballast.unlink()


def restart(mode: str) -> Fault:
    async def restarted(site: Site) -> None:
        server = tests_postgres()
        folder = Path(site.url.partition("?host=")[2])
        await asyncio.to_thread(server.stop, folder, mode)
        await asyncio.sleep(1)
        await asyncio.to_thread(server.start, folder)

    return restarted


def clock(offset: str) -> Fault:
    """The machine's clock jumps, as the server sees it, and later jumps back."""

    async def jump(site: Site) -> None:
        set_clock(site.bench, offset)
        await asyncio.sleep(FAULT_S)
        set_clock(site.bench, "+0")

    return jump


def add_variants(folder: Path) -> dict[str, Deployed]:
    """Two variants of the finished run with the same prompt for all inputs, by their label."""
    verdict = next(folder.glob("runs/*-*/verdict.json"))
    decision = Decision.model_validate_json(verdict.read_bytes())
    model = decision.variants[0].model
    found = {}
    for say, label in LABELS.items():
        prompt = Prompt(system=say)
        variant = Variant(name=label, arm="prompt", model=model, prompt=prompt, max_tokens=8)
        decision = decision.model_copy(update={"variants": (*decision.variants, variant)})
        found[label] = Deployed(run=verdict.parent.name, variant=variant.id, name=label)
    verdict.write_text(decision.model_dump_json(by_alias=True), "utf-8")
    return found


def promote(database: Database, deployed: Deployed) -> None:
    deployments.promote(database, TASK, deployed, "champion", 0.0, "a benchmark", "to measure")


@contextmanager
def serving(bench: Bench, url: str, environment: Mapping[str, str] | None = None) -> Iterator[Site]:
    """A server on this database; after the faults it must end well."""
    database = Database(url)
    promote(database, bench.deployed["person"])
    database.close()
    log = bench.folder / "server.log"
    server = trimtab_server(bench.folder, url, core=1, log=log, environment=environment)
    with server as (port, process):
        yield Site(bench, url, port, process.pid, log)
        process.terminate()
        if (code := process.wait(60)) != 0:
            raise RuntimeError(f"the server ended with {code}: {log.read_text()[-2000:]}")


@contextmanager
def on_sqlite(bench: Bench) -> Iterator[Site]:
    with serving(bench, str(bench.folder / "production.sqlite")) as site:
        yield site


@contextmanager
def on_small_disk(bench: Bench) -> Iterator[Site]:
    if os.geteuid() != 0:
        raise NotHereError("needs root, to mount a small disk")
    disk = bench.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", disk], check=True)  # noqa: S607
    try:
        with serving(bench, str(disk / "production.sqlite")) as site:
            yield site
    finally:
        subprocess.run(["umount", disk], check=True)  # noqa: S607


@contextmanager
def on_postgres(bench: Bench) -> Iterator[Site]:
    postgres = tests_postgres()
    if reason := postgres.why_not():
        raise NotHereError(reason)
    with postgres.server() as folder, serving(bench, postgres.new_database(folder)) as site:
        yield site


@contextmanager
def with_own_clock(bench: Bench) -> Iterator[Site]:
    library = next(Path("/usr/lib").glob(_FAKETIME), None)
    if library is None:
        raise NotHereError("needs libfaketime (Debian: apt-get install libfaketime)")
    set_clock(bench, "+0")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(bench.clock),
        "FAKETIME_CACHE_DURATION": "1",
        # Machines whose clock is set go on counting the seconds since their start.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }
    url = str(bench.folder / "clock.sqlite")
    with serving(bench, url, environment) as site:
        yield site


def set_clock(bench: Bench, offset: str) -> None:
    """In one step: half a file would be another time."""
    new = bench.clock.with_suffix(".new")
    new.write_text(offset)
    new.rename(bench.clock)


def tests_postgres() -> Any:
    """What the tests start and stop PostgreSQL with."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    import postgres

    return postgres


PLACES: tuple[tuple[Place, dict[str, Fault]], ...] = (
    (
        on_sqlite,
        {
            "upstream hangs": upstream("hang"),
            "upstream cuts off its answers": upstream("cut"),
            "upstream is gone": upstream_gone,
            "upstream trickles": upstream("trickle"),
            "upstream answers without end": upstream("endless"),
            **{f"upstream answers with {what}": upstream(what) for what in GARBAGE},
            "promotions and rollbacks": changes,
            "SQLite locked by another writer": locked,
        },
    ),
    (on_small_disk, {"disk full": disk_full}),
    (
        on_postgres,
        {
            "PostgreSQL restarted": restart("fast"),
            "PostgreSQL crashed and restarted": restart("immediate"),
        },
    ),
    (
        with_own_clock,
        {
            "clock 5 hours forward and back": clock("+5h"),
            "clock 5 hours back and forward": clock("-5h"),
            "clock 400 days forward and back": clock("+400d"),
        },
    ),
)

if __name__ == "__main__":
    main()
