"""`trimtab reviewer`: who may review a task."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from trimtab.cli.promote import By, DatabaseUrl, TaskFolder, opened_database, task_name

reviewer = typer.Typer(
    help="Make, list and revoke the people who may sign in to the review pages.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[str, typer.Option(help="As it will stand beside what they approve.")]


class RoleName(StrEnum):
    reviewer = "reviewer"
    admin = "admin"


@reviewer.command()
def add(
    task: TaskFolder,
    name: Name,
    role: Annotated[
        RoleName, typer.Option(help="An admin may also promote, roll back and decide ties.")
    ] = RoleName.reviewer,
    ask: Annotated[
        bool, typer.Option("--ask", help="Ask for a password instead of making one.")
    ] = False,
    by: By = None,
    database: DatabaseUrl = None,
) -> None:
    """Make a reviewer and print the password, once: only its hash is kept."""
    from trimtab.serve.promotion import this_user
    from trimtab.store.reviewers import add_reviewer, new_password
    from trimtab.store.trail import note

    password = (
        typer.prompt("Password", hide_input=True, confirmation_prompt=True)
        if ask
        else new_password()
    )
    who = by or this_user()
    with opened_database(task, database) as opened:
        made = add_reviewer(opened, task_name(task), name, role.value, password, who)
        note(opened, made.task, who, "made a reviewer", f"{made.name} ({made.role})")
    typer.echo("Kept." if ask else password)


@reviewer.command("list")
def list_(task: TaskFolder, database: DatabaseUrl = None) -> None:
    """List all reviewers, revoked ones too."""
    from trimtab.store.reviewers import list_reviewers

    with opened_database(task, database) as opened:
        for found in list_reviewers(opened, task_name(task)):
            state = f"revoked {found.revoked:%Y-%m-%d}" if found.revoked else "in use"
            typer.echo(
                f"{found.name}  {found.role}  {state}  made {found.created:%Y-%m-%d} by {found.who}"
            )


@reviewer.command()
def revoke(task: TaskFolder, name: Name, by: By = None, database: DatabaseUrl = None) -> None:
    """Let a reviewer in no more; what they said stays."""
    from trimtab.serve.promotion import this_user
    from trimtab.store.reviewers import revoke_reviewer
    from trimtab.store.trail import note

    with opened_database(task, database) as opened:
        revoked = revoke_reviewer(opened, task_name(task), name)
        note(opened, revoked.task, by or this_user(), "revoked a reviewer", revoked.name)
    typer.echo(f"Revoked {revoked.name}.")
