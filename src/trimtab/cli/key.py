"""`trimtab key`: who may call the server of a task."""

from __future__ import annotations

from typing import Annotated

import typer

from trimtab.cli.promote import By, DatabaseUrl, TaskFolder, opened_database, task_name

key = typer.Typer(
    help="Make, list and revoke the keys that callers of the server need.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@key.command()
def add(
    task: TaskFolder,
    name: Annotated[str, typer.Option(help="Whose key it is, such as a program's name.")],
    by: By = None,
    database: DatabaseUrl = None,
) -> None:
    """Make a key and print it, once: only its hash is kept."""
    from trimtab.serve.promotion import this_user
    from trimtab.store.keys import add_key

    with opened_database(task, database) as opened:
        typer.echo(add_key(opened, task_name(task), name, by or this_user()))


@key.command("list")
def list_(task: TaskFolder, database: DatabaseUrl = None) -> None:
    """List all keys by id, revoked ones too."""
    from trimtab.store.keys import list_keys

    with opened_database(task, database) as opened:
        for found in list_keys(opened, task_name(task)):
            state = f"revoked {found.revoked:%Y-%m-%d}" if found.revoked else "in use"
            typer.echo(
                f"{found.id}  {found.name}  {state}  made {found.created:%Y-%m-%d} by {found.who}"
            )


@key.command()
def revoke(
    task: TaskFolder,
    key_id: Annotated[str, typer.Argument(help="The key's id, as listed.")],
    database: DatabaseUrl = None,
) -> None:
    """Revoke a key; running servers refuse it within a second."""
    from trimtab.store.keys import revoke_key

    with opened_database(task, database) as opened:
        revoked = revoke_key(opened, task_name(task), key_id)
    typer.echo(f"Revoked {revoked.id} ({revoked.name}).")
