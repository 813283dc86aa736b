import io
from pathlib import Path

import pytest
from rich.console import Console

from trimtab.report.console import show_decision, show_plan
from trimtab.task.spec import Budget

from . import decisions


def shown(show, width=120) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
    show(console)
    return console.file.getvalue().replace("\N{NO-BREAK SPACE}", " ")


def decided(decision, width=120) -> str:
    return shown(lambda console: show_decision(decision, console, Path("run/report.html")), width)


def test_the_verdict_both_arms_gates_money_and_report_are_shown():
    text = decided(decisions.complete())
    for expected in (
        "Fine-tune",
        "A fine-tune on 480 labelled rows",
        "0.61 [0.57, 0.65]",
        "0.78 [0.74, 0.82]",
        "+0.17 [+0.12, +0.22]",
        "✓ pass",
        "✗ fail",
        "? unknown",
        "enough-data *",
        "break-even at 79,900 calls a month",
        "97 % likely to pay at 300,000",
        "Report: run/report.html",
    ):
        assert expected in text, expected


def test_a_sparse_decision_invents_nothing():
    text = decided(decisions.sparse())
    assert "Inconclusive" in text
    assert "No variant was scored on the sealed test" in text
    assert "Money: unknown" in text
    assert "0.00" not in text
    assert "None" not in text


def test_text_of_the_task_is_never_markup_nor_an_escape_sequence():
    hostile = "[red]x[/red] [/nonsense] \x1b[2J {{7*7}} :skull:"
    decision = decisions.complete()
    gate = decision.verdict.gates[0].model_copy(update={"evidence": hostile, "name": hostile})
    verdict = decision.verdict.model_copy(
        update={"headline": hostile, "reasons": (hostile,), "gates": (gate,)}
    )
    prompt = decision.prompt.model_copy(update={"name": hostile})
    text = decided(
        decision.model_copy(update={"task": hostile, "verdict": verdict, "prompt": prompt}), 400
    )
    assert text.count("[red]x[/red] [/nonsense] \\u{1b}[2J {{7*7}} :skull:") == 6
    assert "\x1b" not in text


@pytest.mark.parametrize("width", [80, 100])
def test_the_summary_fits_the_terminal(width):
    assert max(map(len, decided(decisions.complete(), width).splitlines())) <= width


def test_the_plan_is_totalled_against_the_budget():
    budget = Budget(minutes=20, calls=20_000, money=5)
    planned = decisions.complete().planned
    text = shown(lambda console: show_plan(planned, budget, "USD", console))
    total = next(line for line in text.splitlines() if line.strip().startswith("Total"))
    assert total.split()[1:5] == ["1,204", "347k", "49,500", "410k"]
    limit = next(line for line in text.splitlines() if line.strip().startswith("Hard limit"))
    assert "20,000" in limit
    assert "20 min" in limit
    assert "5.00" in limit
    assert "Money, USD" in " ".join(text.split())
    assert "exceeds" not in text


@pytest.mark.parametrize(
    ("budget", "expected"),
    [
        (Budget(minutes=15, calls=20_000, money=5), "16.2 min of 15 min"),
        (Budget(minutes=20, calls=1_203, money=5), "1,204 calls of 1,203"),
    ],
)
def test_a_plan_beyond_the_budget_is_said(budget, expected):
    planned = decisions.complete().planned
    text = shown(lambda console: show_plan(planned, budget, "USD", console))
    assert f"The plan exceeds the budget: {expected}." in text


def test_a_plan_exactly_at_the_budget_is_within_it():
    budget = Budget(minutes=970 / 60, calls=1_204, money=0)
    planned = decisions.complete().planned
    text = shown(lambda console: show_plan(planned, budget, "USD", console))
    assert "exceeds" not in text
