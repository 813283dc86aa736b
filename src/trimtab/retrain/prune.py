"""Makes room: old runs lose what is large, old dataset versions their rows.

Nothing that serves, that a rollback would bring back, or that these rest on is touched. A pruned
run keeps its verdict, its report and its log of test openings, so that it can still be named and
compared, and counted where the same test rows were opened.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trimtab.retrain.versions import RunVersion, list_runs
from trimtab.store import files
from trimtab.store.data_versions import list_versions, version_path
from trimtab.store.database import Database
from trimtab.store.deployments import Change, history
from trimtab.watch.settings import KeepSettings

LARGE = ("records", "adapters", "exports", "retention", "pool.jsonl")
"""What a run needs to serve, to resume or to be read row by row."""


@dataclass(frozen=True)
class Pruned:
    """What may go: parts of runs, and dataset versions. `kept` says of each kept run why."""

    runs: tuple[Path, ...]
    data: tuple[Path, ...]
    size: int
    """Bytes."""
    kept: dict[str, str]


def plan(folder: Path, changes: Sequence[Change], keep: KeepSettings) -> Pruned:
    """What the policy lets go, given the task's changes of what serves, the newest first."""
    runs = list_runs(folder)
    kept = _serving(changes)
    for run in runs[: keep.runs]:
        kept.setdefault(run.name, f"one of the newest {keep.runs}")
    latest = folder / "runs" / "latest"
    if latest.is_symlink():
        kept.setdefault(latest.readlink().name, "the newest")
    old = [run for run in runs if run.name not in kept]
    parts = tuple(part for run in old for name in LARGE if (part := run.folder / name).exists())
    data = _old_data(folder, runs, kept, keep.data)
    return Pruned(parts, data, sum(map(_size, (*parts, *data))), kept)


def prune(folder: Path, database: Database, task: str, keep: KeepSettings) -> Pruned:
    """Delete what `plan` names; a run that another process works on is left as it is."""
    found = plan(folder, history(database, task, last=1000), keep)
    gone = []
    for part in found.runs:
        try:
            lock = files.lock(part.parent / ".lock", wait=False)
        except BlockingIOError:
            continue
        try:
            _delete(part)
        finally:
            os.close(lock)
        gone.append(part)
    for path in found.data:
        _delete(path)
    return Pruned(tuple(gone), found.data, found.size, found.kept)


def _serving(changes: Sequence[Change]) -> dict[str, str]:
    """Runs that serve now, that `trimtab rollback` would bring back, and the champion before."""
    kept: dict[str, str] = {}
    if not changes:
        return kept
    now = changes[0]
    _keep(kept, now, "it serves")
    back = next((each for each in changes if each.number == now.origin - 1), None)
    if back is not None:
        _keep(kept, back, "a rollback would bring it back")
    champion = now.state.champion
    for change in changes:
        if change.state.champion is not None and change.state.champion != champion:
            kept.setdefault(change.state.champion.run, "the champion before")
            break
    return kept


def _keep(kept: dict[str, str], change: Change, why: str) -> None:
    for deployed in (change.state.champion, change.state.canary, change.state.shadow):
        if deployed is not None:
            kept.setdefault(deployed.run, why)


def _old_data(
    folder: Path, runs: Sequence[RunVersion], kept: dict[str, str], newest: int
) -> tuple[Path, ...]:
    needed = {run.data for run in runs if run.name in kept}
    known = list_versions(folder)
    return tuple(
        version_path(folder, each.hash) for each in known[:-newest] if each.hash not in needed
    )


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    return path.stat().st_size


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
