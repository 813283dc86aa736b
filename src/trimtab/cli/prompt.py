"""`trimtab prompt`: a run's prompt, for use without Trimtab."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from trimtab.types import Variant


def prompt(
    run: Annotated[Path, typer.Argument(help="A finished run directory.")],
    to: Annotated[str, typer.Option(help="messages, text or jinja.")] = "jinja",
    variant: Annotated[
        str | None, typer.Option(help="Id of another variant than the run's winner.")
    ] = None,
) -> None:
    """Write a variant's prompt to stdout, as a template with the placeholder `input`."""
    from trimtab.errors import InputError
    from trimtab.predictor import find_variant
    from trimtab.prompt.export import EXPORTS

    if to not in EXPORTS:
        raise InputError(f"--to {to}: write {', '.join(EXPORTS)}")
    _, chosen = find_variant(run, variant)
    typer.echo(EXPORTS[to](chosen.prompt), nl=False)
    for note in _notes(chosen):
        typer.echo(note, err=True)


def _notes(variant: Variant) -> list[str]:
    """What else the variant's figures depend on, besides its prompt."""
    from trimtab.prompt.wording import ANSWER_NOW, THINK

    notes = [f"Prompt of variant {variant.id}: {variant.name}."]
    if variant.prompt.nearest:
        notes.append(
            f"Fill `demonstrations` with the {variant.prompt.nearest} training rows nearest to the "
            f"input, the most similar {'first' if variant.prompt.nearest_first else 'last'}."
        )
    if variant.constrained:
        notes.append("Its answers are constrained to the output contract.")
    if variant.reason:
        notes.append(
            f"It thinks first. The last message ends with an empty line and: {THINK}\n"
            f"After the thoughts, the next message is: {ANSWER_NOW}"
        )
    if variant.retries:
        notes.append(
            "An answer that breaks the output contract is shown to it with the problem, "
            f"at most {variant.retries} times."
        )
    if variant.adapter:
        notes.append(f"It needs the adapter in {variant.adapter.path}.")
    return notes
