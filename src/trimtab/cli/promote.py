"""`trimtab promote`, `retire`, `rollback` and `deployments`: which variants serve."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimtab.cli.serve import DATABASE_HELP

if TYPE_CHECKING:
    from trimtab.store.database import Database
    from trimtab.store.deployments import Change, Deployed

_SHARE = 0.1


class RoleName(StrEnum):
    champion = "champion"
    canary = "canary"
    shadow = "shadow"


class Challenger(StrEnum):
    canary = "canary"
    shadow = "shadow"


TaskFolder = Annotated[Path, typer.Argument(help="The task folder.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the change.")]
By = Annotated[str | None, typer.Option(help="Who decided it [the user of this machine].")]
DatabaseUrl = Annotated[str | None, typer.Option(help=DATABASE_HELP)]


def promote(
    target: Annotated[str, typer.Argument(help="A finished run directory, or a variant's id.")],
    reason: Reason,
    role: Annotated[RoleName, typer.Option("--as", help="What it becomes.")] = RoleName.champion,
    share: Annotated[
        float, typer.Option(min=0.0001, max=0.9999, help="The canary's share of calls.")
    ] = _SHARE,
    task: Annotated[Path, typer.Option(help="The task folder, for a variant's id.")] = Path(),
    by: By = None,
    database: DatabaseUrl = None,
) -> None:
    """Let a variant serve: at once, without a restart of the server."""
    from trimtab.parity import require_parity
    from trimtab.serve.promotion import find_candidate, this_user
    from trimtab.store import deployments as registry

    prove = partial(require_parity, progress=lambda line: typer.echo(line, err=True))
    found = find_candidate(target, task, prove)
    with opened_database(found.task_folder, database) as opened:
        change = registry.promote(
            opened, found.task, found.deployed, role.value, share, by or this_user(), reason
        )
    _show(change)


def retire(
    task: TaskFolder,
    role: Annotated[Challenger, typer.Option("--as", help="Which one.")],
    reason: Reason,
    by: By = None,
    database: DatabaseUrl = None,
) -> None:
    """Take the canary or the shadow away."""
    from trimtab.serve.promotion import this_user
    from trimtab.store import deployments as registry

    with opened_database(task, database) as opened:
        name = task_name(task)
        change = registry.retire(opened, name, role.value, by or this_user(), reason)
    _show(change)


def rollback(
    task: TaskFolder,
    reason: Reason,
    to: Annotated[
        int | None, typer.Option(min=1, help="Number of the change whose state comes back.")
    ] = None,
    by: By = None,
    database: DatabaseUrl = None,
) -> None:
    """Undo the last change of what serves; again, the one before it."""
    from trimtab.serve.promotion import this_user
    from trimtab.store import deployments as registry

    with opened_database(task, database) as opened:
        name = task_name(task)
        change = registry.roll_back(opened, name, to, by or this_user(), reason)
    _show(change)


def deployments(task: TaskFolder, database: DatabaseUrl = None) -> None:
    """List what serves and served: when, by whom and why."""
    from trimtab.store.deployments import history

    with opened_database(task, database) as opened:
        changes = history(opened, task_name(task))
    if not changes:
        typer.echo("Nothing was ever promoted.")
    for change in changes:
        _show(change)


def _show(change: Change) -> None:
    back = f", the state after change {change.origin}" if change.origin != change.number else ""
    typer.echo(f"{change.number}  {change.time:%Y-%m-%d %H:%M:%S} UTC  {change.who}: {change.why}")
    state = change.state
    typer.echo(f"   champion  {_named(state.champion)}{back}")
    if state.canary:
        typer.echo(f"   canary    {_named(state.canary)}, {state.share:.2%} of calls")
    if state.shadow:
        typer.echo(f"   shadow    {_named(state.shadow)}")


def _named(deployed: Deployed | None) -> str:
    if deployed is None:
        return "none"
    return f"{deployed.variant} ({deployed.name}) of {deployed.run}"


def task_name(task: Path) -> str:
    from trimtab.task.load import load_task

    return load_task(task).name


@contextmanager
def opened_database(task: Path, url: str | None) -> Iterator[Database]:
    from trimtab.store.database import Database, default_url

    folder = task if task.is_dir() else task.parent
    database = Database(url or default_url(folder))
    try:
        yield database
    finally:
        database.close()
