"""What one look of the watch costs on a task with many calls: seconds and memory.

    python benchmarks/watch_look.py [--traces 1000000]

Ten days of calls, a tenth of them a canary's, are written to a SQLite file. Each part then runs in
a process of its own: a look at all of them, and another one 15 minutes later. Prints a line for
each look, and as last line one JSON object.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from trimtab.store.database import Database
from trimtab.store.deployments import Deployed, Role, promote
from trimtab.store.traces import Trace, add_traces, new_id
from trimtab.watch.check import Watched, check
from trimtab.watch.rollout import advance
from trimtab.watch.settings import WatchSettings
from watch import LABELS, TASK, WORDS

DAYS = 10
CANARY = 0.1
PARTS: dict[str, Callable[[Watched, datetime], object]] = {"check": check, "advance": advance}
_AT_ONCE = 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--traces", type=int, default=1_000_000)
    parser.add_argument("--part", choices=[*PARTS], help="one part, on what is there")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.part:
        print(json.dumps(look_twice(asked.folder, asked.part)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = asked.folder or Path(name)
        write(folder, asked.traces)
        found = {}
        for part in PARTS:
            command = [sys.executable, __file__, "--part", part, "--folder", str(folder)]
            told = subprocess.run(command, check=True, capture_output=True, text=True)
            found[part] = json.loads(told.stdout.splitlines()[-1])
            print(f"{part}: {found[part]}", flush=True)
    print(json.dumps({"benchmark": "watch_look", "traces": asked.traces, **found}))


def write(folder: Path, traces: int) -> None:
    database = Database(str(folder / "production.sqlite"), synced=False)
    roles: tuple[tuple[Role, str], ...] = (("champion", "v"), ("canary", "w"))
    for role, variant in roles:
        deployed = Deployed(run="r", variant=variant, name=variant)
        promote(database, TASK.name, deployed, role, CANARY, "benchmark", "to measure")
    begun = datetime.now(UTC) - timedelta(days=DAYS)
    database.query("UPDATE deployments SET time = ?", (begun.timestamp(),))
    rng = np.random.default_rng(0)
    for first in range(0, traces, _AT_ONCE):
        moments = [
            begun + timedelta(days=DAYS * i / traces)
            for i in range(first, min(first + _AT_ONCE, traces))
        ]
        add_traces(database, [_trace(moment, rng) for moment in moments])
    database.close()


def look_twice(folder: Path, part: str) -> dict[str, float]:
    """Seconds of each look, and MB of memory that they took at most on top of what was loaded."""
    database = Database(str(folder / "production.sqlite"))
    watched = Watched(folder, TASK, WatchSettings(), database)
    before, found = _peak_mb(), {}
    for minute, name in ((5, "first"), (20, "next")):
        started = time.perf_counter()
        PARTS[part](watched, datetime.now(UTC) + timedelta(minutes=minute))
        found[f"{name}_s"] = round(time.perf_counter() - started, 2)
    database.close()
    return {**found, "peak_mb": round(_peak_mb() - before)}


def _trace(moment: datetime, rng: np.random.Generator) -> Trace:
    is_canary = rng.random() < CANARY
    return Trace.model_construct(
        id=new_id(moment.timestamp()),
        task=TASK.name,
        time=moment,
        role="canary" if is_canary else "champion",
        variant="w" if is_canary else "v",
        run="r",
        deployment=1,
        of=None,
        input=" ".join(f"w{word}" for word in rng.integers(0, WORDS, 8).tolist()),
        output=LABELS[int(rng.integers(len(LABELS)))],
        valid=bool(rng.random() < 0.99),
        problem=None,
        tokens_in=100,
        tokens_cached=0,
        tokens_out=2,
        latency_s=float(rng.lognormal(-1.2, 0.4)),
        weight=1.0,
        redacted=False,
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
