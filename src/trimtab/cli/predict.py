"""`trimtab predict`: new inputs through the variant that a run chose."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated, BinaryIO

import typer


def predict(
    run: Annotated[Path, typer.Argument(help="A finished run directory.")],
    inputs: Annotated[
        Path | None,
        typer.Argument(help="JSONL, CSV or Parquet with `input`, or one text a line [stdin]."),
    ] = None,
) -> None:
    """Answer new inputs; writes JSONL with `input`, `text`, `valid` and `error` to stdout."""
    from trimtab.predictor import load
    from trimtab.task.data import read_traffic

    with tempfile.TemporaryDirectory() as temporary:
        texts = read_traffic(inputs or _spool(sys.stdin.buffer, Path(temporary)))
    predictor = load(run, lambda line: typer.echo(line, err=True))
    for prediction in predictor.predict_each(texts):
        typer.echo(prediction.model_dump_json())


def _spool(stream: BinaryIO, folder: Path) -> Path:
    """Keep stdin in a file whose ending tells what it holds."""
    first = stream.readline()
    path = folder / ("stdin.jsonl" if first.lstrip().startswith(b"{") else "stdin.txt")
    with path.open("wb") as file:
        file.write(first)
        shutil.copyfileobj(stream, file)
    return path
