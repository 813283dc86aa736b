"""What the terminal shows: the plan before a decision, and the verdict after it.

Text from data, models and tasks is put into `rich.text.Text`, never into markup, and hidden
characters are made visible, so that no answer can style, erase or forge the terminal's lines.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from trimtab.report import search, values, view
from trimtab.task.spec import Budget
from trimtab.types import Decision, Gate, Spent, Status

STATUS: dict[Status, tuple[str, str]] = {
    "pass": ("✓ pass", "green"),
    "fail": ("✗ fail", "bold red"),
    "unknown": ("? unknown", "yellow"),
}


def show_decision(decision: Decision, console: Console, report: Path) -> None:
    """Print the verdict, both arms, the gates, the money in a line, and where the report is."""
    console.print(_verdict(decision))
    if decision.prompt is None and decision.fine_tune is None:
        why = view.why_missing(decision, "prompt")
        console.print(_text(f"No variant was scored on the sealed test: {why}."))
    else:
        console.print(_arms(decision))
    if decision.verdict.gates:
        console.print(_gates(decision.verdict.gates))
    if decision.search is not None:
        told = f"{search.exhausted_told(decision.search)} {search.race_told(decision.search)}"
        console.print(_text(f"Prompt search: {told}"))
    console.print(_text(_money(decision)))
    if warning := view.worn_out(decision):
        console.print(_text(warning, "bold"))
    console.print(_text(f"Report: {report}"), soft_wrap=True)


def show_plan(planned: Sequence[Spent], budget: Budget, currency: str, console: Console) -> None:
    """Print what each stage is to use, with the total against the hard budget."""
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=_text("The plan"),
        title_justify="left",
    )
    table.add_column("Stage", no_wrap=True)
    table.add_column("Arm", no_wrap=True)
    for heading in ("Calls", "Tokens in", "Tokens out", "Train tokens", "Time"):
        table.add_column(heading, justify="right")
    table.add_column(_text(f"Money, {currency}"), justify="right")
    for stage in planned:
        table.add_row(*_plan_row(stage))
    table.add_section()
    total = sum(planned, Spent(stage="Total"))
    table.add_row(*_plan_row(total), style="bold")
    table.add_row(
        "Hard limit",
        "",
        values.count(budget.calls),
        "",
        "",
        "",
        values.seconds(budget.seconds),
        values.money(budget.money, ""),
    )
    console.print(table)
    beyond = _beyond(total, budget, currency)
    if beyond:
        console.print(_text(f"The plan exceeds the budget: {'; '.join(beyond)}.", "bold"))


def _verdict(decision: Decision) -> Panel:
    verdict = decision.verdict
    body = Text()
    body.append(view.VERDICT_NAMES[verdict.word], style="bold")
    body.append("\n")
    body.append(_text(verdict.headline))
    for reason in verdict.reasons:
        body.append(_text(f"\n· {reason}"))
    if decision.stopped_by is not None:
        body.append(_text(f"\nStopped early; the budget was spent: {decision.stopped_by}.", "bold"))
    title = _text(f"{decision.task}: prompt or fine-tune?")
    return Panel(body, title=title, title_align="left", padding=(1, 2))


def _arms(decision: Decision) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("On the test", *view.ARM_NAMES.values(), "Goal"):
        table.add_column(heading, overflow="fold")
    for row in view.arm_rows(decision):
        table.add_row(*map(_text, (row.label, row.prompt, row.fine_tune, row.goal)))
    table.add_section()
    comparison = decision.comparison
    if comparison is not None:
        difference = values.interval(comparison.difference, signed=True)
        told = f"{difference}, {values.p_value(comparison.p_value)}"
        table.add_row("Difference", "", _text(told), "")
    return table


def _gates(gates: Sequence[Gate]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("Status", no_wrap=True)
    table.add_column("Gate (* required for a fine-tune)", overflow="fold", ratio=1)
    table.add_column("Evidence", overflow="fold", ratio=2)
    for gate in gates:
        label, style = STATUS[gate.status]
        name = f"{gate.name}{' *' if gate.blocks else ''}"
        settle = f" To settle it: {gate.settle}" if gate.settle else ""
        table.add_row(Text(label, style), _text(name), _text(gate.evidence + settle))
    return table


def _money(decision: Decision) -> str:
    money = decision.money
    if money is None:
        return "Money: unknown; it needs the cost per call of both arms, and the calls a month."
    prompt, tune = (
        f"{values.money(1000 * per_call, money.currency)} {view.cost_range(score)}".rstrip()
        for per_call, score in (
            (money.prompt_per_call, decision.prompt),
            (money.tune_per_call, decision.fine_tune),
        )
    )
    even = (
        "the fine-tune never pays at these costs"
        if money.break_even_calls is None
        else f"break-even at {values.count(money.break_even_calls)} calls a month"
    )
    return (
        f"Money: 1,000 calls cost {prompt} with the prompt and {tune} with the fine-tune; {even}; "
        f"{values.percent(money.p_pays)} likely to pay at {values.count(money.calls_per_month)}."
    )


def _plan_row(stage: Spent) -> list[RenderableType]:
    return [
        _text(stage.stage),
        stage.arm or "",
        values.count(stage.calls),
        values.compact(stage.tokens_in),
        values.compact(stage.tokens_out),
        values.compact(stage.train_tokens),
        values.seconds(stage.seconds),
        values.money(stage.money, ""),
    ]


def _beyond(total: Spent, budget: Budget, currency: str) -> list[str]:
    """The limits that the plan would break, in words."""
    found = []
    if total.calls > budget.calls:
        found.append(f"{values.count(total.calls)} calls of {values.count(budget.calls)}")
    if total.seconds > budget.seconds:
        limit = values.seconds(budget.seconds)
        found.append(f"{values.seconds(total.seconds)} of {limit}")
    if total.money > budget.money:
        limit = values.money(budget.money, currency)
        found.append(f"{values.money(total.money, currency)} of {limit}")
    return found


def _text(content: str, style: str = "") -> Text:
    return Text(values.visible(content), style)
