"""`trimtab init`: a task file from labelled rows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer


def init(
    folder: Annotated[Path, typer.Argument(help="The task folder to make.")],
    data: Annotated[Path, typer.Option(help="Labelled rows: JSONL, CSV or Parquet.")],
) -> None:
    """Look at the rows, infer the output contract and a metric, and write task.yaml."""
    import re

    from trimtab.errors import TaskError
    from trimtab.store.files import write_atomic
    from trimtab.task.infer import infer_task

    target = folder / "task.yaml"
    if target.exists():
        raise TaskError(f"{target} is there already; edit it, or choose another folder")
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", folder.resolve().name).strip("-_") or "task"
    text = infer_task(data, name, os.path.relpath(data, folder))
    write_atomic(target, text)
    typer.echo(f"Wrote {target}. Read it, correct it, then: trimtab plan {folder}")
