"""`trimtab export`: a run's fine-tune for other programs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

_NOT_THE_SAME = 1


class _Form(StrEnum):
    PEFT = "peft"
    MERGED = "merged"
    GGUF = "gguf"
    OLLAMA = "ollama"
    OPENAI = "openai-jsonl"
    TRL = "trl-jsonl"


class _Precision(StrEnum):
    F32 = "f32"
    F16 = "f16"
    Q8_0 = "q8_0"


def export(
    run: Annotated[Path, typer.Argument(help="A finished run directory with a fine-tune.")],
    to: Annotated[_Form, typer.Option("--to", help="The form to write.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="A new folder [RUN/exports/FORM].")
    ] = None,
    precision: Annotated[
        _Precision, typer.Option("--precision", help="Of the weights in GGUF.")
    ] = _Precision.F16,
) -> None:
    """Write the fine-tune, load it back, and compare. Exits with 1 where it is not the same."""
    from trimtab.export import export as run_export

    exported = run_export(
        run, to.value, out, precision.value, lambda line: typer.echo(line, err=True)
    )
    parity = exported.parity
    verdict = "the same" if parity.passed else "NOT the same; do not use it"
    typer.echo(f"{exported.folder}: {verdict}: {parity.statement}.")
    if not parity.passed:
        raise typer.Exit(_NOT_THE_SAME)
