"""The story's task, but for its model, and its traffic: does a line stand for a person or a firm?

At first a firm's name says its trade. Then family firms come in, which are named after a person: a
prompt that has seen none takes most of them for persons, on whatever processor it runs.
"""

from __future__ import annotations

from decisions import FIRST, LAST

TRADES = (
    "Roofing", "Bakery", "Motors", "Dairy", "Printing", "Timber", "Glass", "Plumbing",
    "Shipping", "Textiles", "Brewery", "Nurseries", "Optics", "Quarries", "Pottery", "Tools",
)  # fmt: skip
FORMS = ("Ltd", "Inc.", "LLC", "plc")
HEIRS = ("Sons", "Daughters")

Line = tuple[str, str]
"""A line, and the label that a careful reviewer gives it."""

TASK = {
    "name": "names",
    "instructions": "Decide whether the name belongs to a person or to a company.",
    "data": {"path": "rows.jsonl", "approved_by": "reviewer-1", "dev": 10, "test": 20},
    "output": {"kind": "label", "labels": ["person", "company"]},
    "metric": "accuracy",
    "goals": {"quality": 0.8, "smallest_difference": 0.05},
    "constraints": {"p95_latency_seconds": 20},
    "traffic": {"calls_per_month": 100000, "stable_since": "2026-01-01"},
    "search": {"demonstrations": [8]},
    "budget": {"minutes": 60},
    "seed": 7,
}


def plain(first: int, count: int) -> list[Line]:
    """Single names, persons and companies in turn; distinct for numbers below 260."""
    return [
        (_company(i), "company") if i % 2 else (_person(i), "person")
        for i in range(first, first + count)
    ]


def family_firms(first: int, count: int) -> list[str]:
    """Firms named after their founders; distinct for any 260 numbers in a row."""
    return [f"{_person(i)} & {HEIRS[i % 2]}" for i in range(first, first + count)]


def label_of(line: str) -> str:
    """What a careful reviewer says of any of these lines."""
    return "company" if line.rsplit(maxsplit=1)[-1] in FORMS + HEIRS else "person"


def _person(i: int) -> str:
    return f"{FIRST[i % 10]} {chr(ord('A') + i // 10 % 26)}. {LAST[(i // 10 + i) % 10]}"


def _company(i: int) -> str:
    form = FORMS[(i + i // 10 + i // 160) % 4]
    return f"{LAST[i % 10]} {TRADES[i // 10 % 16]} {form}"
