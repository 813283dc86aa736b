"""The command line: one small module a verb. Heavy parts are imported when a verb runs."""

from __future__ import annotations

import sys

import typer

from trimtab.cli.audit import audit
from trimtab.cli.decide import decide
from trimtab.cli.export import export
from trimtab.cli.init import init
from trimtab.cli.judge import judge
from trimtab.cli.key import key
from trimtab.cli.plan import plan
from trimtab.cli.predict import predict
from trimtab.cli.promote import deployments, promote, retire, rollback
from trimtab.cli.prompt import prompt
from trimtab.cli.retrain import prune, retrain, versions
from trimtab.cli.review import review
from trimtab.cli.reviewer import reviewer
from trimtab.cli.serve import serve
from trimtab.cli.watch import watch
from trimtab.errors import TrimtabError

app = typer.Typer(
    help="Decides, with evidence, between prompting and fine-tuning a language model for a task.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help appears in half of the time that a styled one takes
)
for verb in (
    init,
    audit,
    plan,
    decide,
    judge,
    predict,
    prompt,
    export,
    promote,
    retire,
    rollback,
    deployments,
    serve,
    review,
    watch,
    retrain,
    versions,
    prune,
):
    app.command()(verb)
app.add_typer(key, name="key")
app.add_typer(reviewer, name="reviewer")


def main() -> None:
    """Run the command line; an error that was foreseen is one clear message and its exit code."""
    try:
        app()
    except TrimtabError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
