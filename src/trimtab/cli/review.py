"""`trimtab review`: the pages on which experts review, and reviews to and from files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from trimtab.cli.promote import By, DatabaseUrl, opened_database

if TYPE_CHECKING:
    from trimtab.review.exchange.files import Format


class FormatName(StrEnum):
    jsonl = "jsonl"
    csv = "csv"
    argilla = "argilla"
    label_studio = "label-studio"


def review(
    task: Annotated[Path, typer.Argument(help="The task folder, or its task.yaml.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8322,
    export: Annotated[
        Path | None, typer.Option(help="Write the reviews to this file, and end.")
    ] = None,
    import_: Annotated[
        Path | None, typer.Option("--import", help="Take reviews from this file, and end.")
    ] = None,
    format_: Annotated[
        FormatName | None, typer.Option("--format", help="Of that file [by its extension].")
    ] = None,
    by: By = None,
    database: DatabaseUrl = None,
) -> None:
    """Let experts review answers in a browser; or export and import what they said."""
    from trimtab.errors import InputError
    from trimtab.store.database import default_url

    if export is not None and import_ is not None:
        raise InputError("--export and --import are two steps; do one after the other")
    if export is not None:
        _export(task, export, _format(export, format_), by, database)
        return
    if import_ is not None:
        _import(task, import_, _format(import_, format_), by, database)
        return
    try:
        from trimtab.review.run import review as run_pages
    except ImportError as error:
        raise InputError(
            f"the pages need packages that are not installed ({error}): "
            "pip install 'trimtab[serve]'"
        ) from error
    folder = task if task.is_dir() else task.parent
    typer.echo(f"http://{host}:{port}/ (Ctrl-C ends it)", err=True)
    run_pages(task, host, port, database or default_url(folder))


def _export(task: Path, file: Path, kind: Format, by: str | None, url: str | None) -> None:
    from trimtab.review.exchange.files import export_reviews
    from trimtab.review.exchange.label_studio import labelling_config
    from trimtab.serve.promotion import this_user
    from trimtab.task.load import load_task

    settings = load_task(task)
    folder = task if task.is_dir() else task.parent
    with opened_database(task, url) as opened:
        count = export_reviews(opened, settings, folder, file, kind, by or this_user())
    typer.echo(f"{count:,} items in {file}.")
    if kind == "label-studio":
        typer.echo("The labelling configuration that shows them:")
        typer.echo(labelling_config(settings.output), nl=False)


def _import(task: Path, file: Path, kind: Format, by: str | None, url: str | None) -> None:
    from trimtab.review.exchange.files import import_reviews
    from trimtab.serve.promotion import this_user
    from trimtab.task.load import load_task

    settings = load_task(task)
    folder = task if task.is_dir() else task.parent
    with opened_database(task, url) as opened:
        found = import_reviews(opened, settings, folder, file, kind, by or this_user(), by)
    typer.echo(
        f"{found.items:,} new items, {found.reviews:,} reviews; "
        f"{found.passed_over:,} that said nothing new."
    )


def _format(file: Path, given: FormatName | None) -> Format:
    from trimtab.errors import InputError

    if given is not None:
        return given.value
    kind = file.suffix.lower().removeprefix(".")
    if kind not in ("jsonl", "csv"):
        raise InputError(f"{file}: say with --format which kind of file it is")
    return cast("Format", kind)
