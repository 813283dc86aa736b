"""`trimtab watch`: does a served task stay as decided?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trimtab.cli.promote import By, DatabaseUrl, TaskFolder, opened_database, task_name

if TYPE_CHECKING:
    from trimtab.errors import TrimtabError
    from trimtab.watch.check import Looked

_ALARM = 1
_INTERRUPTED = 130


def watch(
    task: TaskFolder,
    once: Annotated[
        bool, typer.Option("--once", help="Look once; exits with 1 while an alarm stands.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Minutes between looks.")] = 15,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, one line a look.")] = False,
    close: Annotated[
        str | None, typer.Option(help="Id of an alarm that was dealt with; needs --reason.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Why the alarm is closed.")] = None,
    by: By = None,
    database: DatabaseUrl = None,
) -> None:
    """Look at traffic and reviews, raise alarms, and move a staged promotion on."""
    if close is not None:
        _close(task, close, reason, by, database)
        return
    from trimtab.store.database import default_url
    from trimtab.watch.run import look, open_watched
    from trimtab.watch.run import watch as go_on

    show = _show_json if json_ else _show
    if once:
        failed: list[TrimtabError] = []
        with opened_database(task, database) as opened:
            looked, moved = look(open_watched(task, opened), failed.append)
        show(looked, moved)
        for error in failed[1:]:
            typer.echo(f"error: {error}", err=True)
        if failed:
            raise failed[0]
        if looked is not None and looked.standing:
            raise typer.Exit(_ALARM)
        return
    folder = task if task.is_dir() else task.parent
    try:
        go_on(
            task,
            database or default_url(folder),
            every * 60,
            show,
            lambda error: typer.echo(f"error: {error}", err=True),
        )
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


def _close(task: Path, alarm: str, reason: str | None, by: str | None, url: str | None) -> None:
    from trimtab.errors import InputError
    from trimtab.serve.promotion import this_user
    from trimtab.store.watching import close_alarm

    if not reason:
        raise InputError("closing an alarm needs a --reason; it is kept with it")
    with opened_database(task, url) as opened:
        closed = close_alarm(opened, task_name(task), alarm, by or this_user(), reason)
    typer.echo(f"Closed {closed.id} ({closed.kind}).")


def _show(looked: Looked | None, moved: str | None) -> None:
    if looked is not None:
        _show_looked(looked)
    if moved is not None:
        typer.echo(f"  {moved}")
    for problem in looked.problems if looked else ():
        typer.echo(f"error: {problem}", err=True)


def _show_looked(looked: Looked) -> None:
    found = looked.check
    typer.echo(
        f"{found.time:%Y-%m-%d %H:%M} UTC  {found.task}, {found.calls:,.0f} calls since "
        f"{found.since:%Y-%m-%d}"
    )
    for reading in found.readings:
        typer.echo(f"  {reading.state:<8}{reading.kind:<12} {reading.message}")
    for alarm in looked.standing:
        fresh = alarm.id in {each.id for each in looked.opened}
        new = "new" if fresh else f"since {alarm.opened:%Y-%m-%d}"
        wish = "retrain" if alarm.retrain else f"review {alarm.labels_wanted} calls"
        ask = f"; {wish}" if alarm.retrain or alarm.labels_wanted else ""
        typer.echo(f"  ALARM   {alarm.id} {alarm.kind}, {new}{ask}")


def _show_json(looked: Looked | None, moved: str | None) -> None:
    import json

    check = looked.check.model_dump(mode="json") if looked else None
    standing = [alarm.model_dump(mode="json") for alarm in looked.standing] if looked else []
    typer.echo(json.dumps({"check": check, "alarms": standing, "moved": moved}))
    for problem in looked.problems if looked else ():
        typer.echo(f"error: {problem}", err=True)
