"""`trimtab retrain`, `versions` and `prune`: a task on new data, and what became of the old."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimtab.cli.promote import By, DatabaseUrl, TaskFolder, opened_database

if TYPE_CHECKING:
    from trimtab.retrain.retrain import Retrained

_INTERRUPTED = 130


def retrain(
    task: TaskFolder,
    reason: Annotated[
        str | None, typer.Option(help="Why, where no alarm, date or new data calls for it.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether anything calls for it.")
    ] = False,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start a new run even where one of this data is there.")
    ] = False,
    roll_out: Annotated[
        bool, typer.Option("--roll-out/--no-roll-out", help="Whether a better variant may serve.")
    ] = True,
    by: By = None,
    database: DatabaseUrl = None,
) -> None:
    """Where something calls for it: decide again on the newest data, hold the winner against the
    champion, and make it a shadow where it is to take over."""
    from datetime import UTC, datetime

    from trimtab.retrain.retrain import called_for
    from trimtab.retrain.retrain import retrain as run_retrain
    from trimtab.serve.promotion import this_user
    from trimtab.watch.run import open_watched

    with opened_database(task, database) as opened:
        watched = open_watched(task, opened)
        called = called_for(watched, datetime.now(UTC), reason)
        for why in called.why:
            typer.echo(f"Called for: {why}")
        if not called.why:
            typer.echo(f"Nothing calls for it: {called.next}.")
        if check or not called.why:
            return
        from rich.console import Console

        from trimtab.cli.progress import ConsoleProgress

        try:
            with ConsoleProgress(Console()) as progress:
                found = run_retrain(watched, called, by or this_user(), progress, fresh, roll_out)
        except KeyboardInterrupt:
            typer.echo("stopped; the same command goes on from here", err=True)
            raise typer.Exit(_INTERRUPTED) from None
    _show(found, task)


def _show(found: Retrained, task: Path) -> None:
    typer.echo(f"Data {found.data}, run {found.run}.")
    for each in found.slices:
        if each.status == "fail":
            typer.echo(f"  {each.name}: a loss on {each.n} rows")
    statement = found.concluded.statement
    typer.echo(f"{statement[0].upper()}{statement[1:]}.")
    if found.rollout is not None:
        typer.echo(
            f"It is the shadow now (change {found.rollout}); `trimtab watch {task}` moves it on."
        )


def versions(
    task: TaskFolder,
    compare: Annotated[
        tuple[str, str] | None,
        typer.Option(help="Two runs by name, or two dataset versions by hash."),
    ] = None,
    database: DatabaseUrl = None,
) -> None:
    """List data, runs and what serves; compare two. `trimtab promote RUN` restores a run."""
    from trimtab.retrain.versions import compare_runs, compare_versions, find_run, list_runs
    from trimtab.store.data_versions import list_versions
    from trimtab.task.load import load_task

    folder = task if task.is_dir() else task.parent
    data = list_versions(folder)
    if compare is not None:
        first, second = compare
        hashes = [each.hash for each in data]
        if all(any(each.startswith(name) for each in hashes) for name in compare):
            lines = compare_versions(folder, first, second, load_task(task))
        else:
            lines = compare_runs(folder, find_run(folder, first), find_run(folder, second))
        for line in lines:
            typer.echo(line)
        return
    roles = _roles(task, database)
    typer.echo("Data:")
    for version in reversed(data):
        typer.echo(
            f"  {version.hash}  {version.created:%Y-%m-%d}  {version.rows:,} rows, "
            f"{version.reviewed:,} reviewed  {version.who}: {version.why}"
        )
    typer.echo("Runs:")
    for run in list_runs(folder):
        winner, quality = run.winner, run.score.quality.estimate if run.score else None
        shown = "no winner" if winner is None else f"{winner.id} ({winner.name})"
        measured = "" if quality is None else f", quality {quality:.3f}"
        served = f"  [{', '.join(roles[run.name])}]" if run.name in roles else ""
        typer.echo(
            f"  {run.name}  data {run.data}  {run.decision.verdict.word}: {shown}{measured}{served}"
        )


def _roles(task: Path, url: str | None) -> dict[str, list[str]]:
    """What each run's variants are now."""
    from trimtab.cli.promote import task_name
    from trimtab.store.deployments import current

    with opened_database(task, url) as opened:
        now = current(opened, task_name(task))
    roles: dict[str, list[str]] = {}
    for role in ("champion", "canary", "shadow"):
        deployed = getattr(now.state, role) if now else None
        if deployed is not None:
            roles.setdefault(deployed.run, []).append(role)
    return roles


def prune(
    task: TaskFolder,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; else it is only listed.")] = False,
    database: DatabaseUrl = None,
) -> None:
    """Let old runs and dataset versions go, by the policy in watch.yaml. What serves or may be
    rolled back to stays."""
    from trimtab.cli.promote import task_name
    from trimtab.retrain import prune as pruning
    from trimtab.store.deployments import history
    from trimtab.watch.settings import load_settings

    folder = task if task.is_dir() else task.parent
    keep = load_settings(folder).keep
    with opened_database(task, database) as opened:
        name = task_name(task)
        if yes:
            found = pruning.prune(folder, opened, name, keep)
        else:
            found = pruning.plan(folder, history(opened, name, last=1000), keep)
    for path in (*found.runs, *found.data):
        typer.echo(str(path))
    told = "Deleted" if yes else "Would delete (--yes does)"
    typer.echo(f"{told}: {len(found.runs) + len(found.data)} parts, {found.size / 1e6:.1f} MB.")
