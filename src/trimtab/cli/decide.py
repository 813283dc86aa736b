"""`trimtab decide`: from a task to a verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_INTERRUPTED = 130
"""What shells expect after Ctrl-C: 128 plus the number of SIGINT."""


def decide(
    task: Annotated[Path, typer.Argument(help="The task folder, or its task.yaml.")],
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Start a new run even if one is there.")
    ] = False,
) -> None:
    """Measure both arms and decide. A run that was cut off goes on; a finished one is shown."""
    from rich.console import Console

    from trimtab import pipeline
    from trimtab.cli.progress import ConsoleProgress
    from trimtab.report.console import show_decision

    console = Console()
    try:
        with ConsoleProgress(console) as progress:
            decided = pipeline.decide(task, progress, fresh)
    except KeyboardInterrupt:  # here, because typer ends a command that is interrupted in silence
        typer.echo("stopped; the same command goes on from here", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    show_decision(decided.decision, console, decided.folder / "report.html")
