"""`report.html`: one self-contained page without scripts, network or external fonts."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from functools import cache

import yaml
from jinja2 import Environment
from markupsafe import Markup

from trimtab.report import consistency, gains, labels, looks, numbers, plots, search, values, view
from trimtab.report.templating import escaping
from trimtab.types import Decision

WIDE, NARROW = 760.0, 340.0
"""Widths in px at which each plot is drawn; the style sheet shows the one that fits the page."""
MOST_CASES = 5
"""Examples shown for each arm."""
MOST_CHARACTERS = 800
"""Characters shown of one input, target or answer."""

SECTIONS = {
    "numbers": "Key numbers",
    "reasons": "Reasons",
    "change": "What would change this",
    "gates": "Gates",
    "arms": "Both arms on the test",
    "consistency": "Asked again, answered alike?",
    "search": "Was prompting exhausted?",
    "variants": "All variants on dev",
    "curve": "Learning curve",
    "cost": "Quality against cost",
    "money": "Break-even",
    "language": "Domain language",
    "retention": "What the fine-tune loses elsewhere",
    "examples": "Examples",
    "failures": "Failed calls",
    "audit": "Data audit",
    "budget": "Budget",
    "settings": "Exact settings",
    "use": "Using the winner",
}


@dataclass(frozen=True)
class Figure:
    """One plot drawn twice: for a page that is wide, and for a phone."""

    wide: Markup
    narrow: Markup


def render_html(decision: Decision) -> str:
    """The whole report as one HTML document. All text of the decision is escaped."""
    unit = view.currency(decision)
    folder = f"runs/{decision.run}"
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            d=decision,
            money=lambda value: values.money(value, unit),
            sections=SECTIONS,
            figures=_figures(decision),
            key_numbers=numbers.key_numbers(decision),
            limits=view.budget(decision),
            winner=decision.winner,
            wins=[view.wins(decision, arm, MOST_CASES) for arm in ("fine-tune", "prompt")],
            settings_yaml=yaml.safe_dump(decision.settings, sort_keys=False, allow_unicode=True),
            environment={key: _plain(value) for key, value in decision.environment.items()},
            command=f"trimtab predict {shlex.quote(folder)} < inputs.jsonl > answers.jsonl",
            program=f"import trimtab\nvariant = trimtab.load({folder!r})",
        )
    )


def _figures(decision: Decision) -> dict[str, Figure | None]:
    return {
        plot.__name__: _figure(
            plot(decision, f"{plot.__name__}-wide", WIDE),
            plot(decision, f"{plot.__name__}-narrow", NARROW),
        )
        for plot in (
            plots.arms,
            plots.plateau_curve,
            plots.learning_curve,
            plots.quality_by_cost,
            plots.quality_by_tokens,
            plots.break_even,
            plots.tornado,
        )
    }


def _figure(wide: Markup | None, narrow: Markup | None) -> Figure | None:
    return None if wide is None or narrow is None else Figure(wide, narrow)


@cache
def _environment() -> Environment:
    environment = escaping("trimtab.report")
    environment.globals.update(
        view=view,
        looks=looks,
        labels=labels,
        search=search,
        consistency=consistency,
        gains=gains,
    )
    environment.filters["clip"] = lambda text: values.shorten(text, MOST_CHARACTERS)
    return environment


def _plain(value: object) -> str:
    if value is None:
        return "unknown"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
