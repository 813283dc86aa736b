"""`trimtab serve`: the promoted variant behind OpenAI's interface."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DATABASE_HELP = "SQLite file or postgresql:// URL [TRIMTAB_DATABASE, or production.sqlite]."


def serve(
    task: Annotated[Path, typer.Argument(help="The task folder, or its task.yaml.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8321,
    database: Annotated[str | None, typer.Option(help=DATABASE_HELP)] = None,
) -> None:
    """Answer calls with the task's promoted variants, and keep what was answered."""
    from trimtab.errors import InputError
    from trimtab.store.database import default_url

    try:
        from trimtab.serve.run import serve as run_server
    except ImportError as error:
        raise InputError(
            f"serving needs packages that are not installed ({error}): pip install 'trimtab[serve]'"
        ) from error
    folder = task if task.is_dir() else task.parent
    run_server(
        task, host, port, database or default_url(folder), lambda line: typer.echo(line, err=True)
    )
