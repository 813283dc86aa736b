"""`trimtab audit`: is the data good enough to decide with?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from trimtab.types import Finding

_BLOCKED = 1


def audit(
    task: Annotated[Path, typer.Argument(help="The task folder, or its task.yaml.")],
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    fix_list: Annotated[
        Path | None, typer.Option("--fix-list", help="Write the flagged rows here, as CSV.")
    ] = None,
) -> None:
    """Check the rows, and list those to review. Exits with 1 where a finding says stop."""
    from trimtab.audit.audit import audit as run_audit
    from trimtab.audit.difficulty import read_attempts
    from trimtab.audit.fixlist import LISTED
    from trimtab.audit.fixlist import fix_list as written
    from trimtab.audit.open import open_subject
    from trimtab.audit.subject import MAX_LISTED
    from trimtab.store.files import write_atomic

    with open_subject(task, LISTED if fix_list else MAX_LISTED) as (settings, subject):
        latest = (task if task.is_dir() else task.parent) / "runs" / "latest"
        attempts = read_attempts(latest, settings.metric) if latest.exists() else None
        findings = run_audit(subject, attempts)
        if fix_list:
            write_atomic(fix_list, written(findings, subject.rows))
        rows = len(subject.rows)
    if json_:
        import json

        shown = [finding.model_dump(mode="json") for finding in findings]
        typer.echo(json.dumps({"task": settings.name, "rows": rows, "findings": shown}, indent=2))
    else:
        from rich.console import Console

        _show(findings, Console())
    if fix_list:
        typer.echo(f"Rows to review: {fix_list}", err=json_)
    if any(finding.severity == "stop" for finding in findings):
        raise typer.Exit(_BLOCKED)


def _show(findings: tuple[Finding, ...], console: Console) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from trimtab.report.values import visible

    looks = {
        "stop": ("✗ stop", "bold red"),
        "warn": ("! warning", "yellow"),
        "unknown": ("? unknown", "cyan"),
        "info": ("✓", "green"),
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("Check", no_wrap=True)
    table.add_column("Found", overflow="fold", ratio=1)
    order = list(looks)
    kinds = [each.severity if each.measured else "unknown" for each in findings]
    for kind, found in sorted(
        zip(kinds, findings, strict=True), key=lambda each: order.index(each[0])
    ):
        label, style = looks[kind]
        table.add_row(Text(label, style), found.check, Text(visible(found.message)))
    console.print(table)
    console.print("A flag is a reason to look at a row, never to delete it.")
