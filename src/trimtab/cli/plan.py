"""`trimtab plan`: what `decide` will do and cost, before it does it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plan(
    task: Annotated[Path, typer.Argument(help="The task folder, or its task.yaml.")],
) -> None:
    """Print calls, tokens, time and money of each stage against the budget."""
    from rich.console import Console

    from trimtab import pipeline
    from trimtab.cli.progress import ConsoleProgress
    from trimtab.report.console import show_plan

    console = Console()
    with ConsoleProgress(console) as progress:
        opened, planned = pipeline.plan(task, progress)
    show_plan(planned.stages, opened.task.budget, opened.task.currency, console)
    if planned.train_sizes:
        sizes = ", ".join(f"{size:,}" for size in planned.train_sizes)
        console.print(f"Training sizes: {sizes} rows, of {len(opened.split.train):,}.")
        if planned.rates["fine-tune"].train is None:
            console.print(
                "The endpoint trains, in its own time; the fine-tune arm waits for up to "
                f"{planned.arm_seconds / 60:.0f} minutes."
            )
        elif len(planned.train_sizes) > 1:
            console.print(
                "Each size goes on from the one before, so a further size costs its own epochs, "
                "and no training from the start."
            )
    else:
        console.print(f"No fine-tune: {planned.no_tuning}.", markup=False)
    console.print("The prompt search tries, one after the other:")
    for line in planned.search:
        console.print(f"- {line}", markup=False)
