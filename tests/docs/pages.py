"""Reads what the documentation says, so that tests can hold it against the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
_ROW = re.compile(r"^\| `([^`]+)` \|(.+)\|$", re.MULTILINE)


def page(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def section(text: str, heading: str) -> str:
    """What stands under the `## heading`, up to the next one of that level."""
    (found,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return str(found)


def rows(text: str) -> list[tuple[str, list[str]]]:
    """Table rows that begin with a name in backticks: (name, the other cells)."""
    return [(name, [cell.strip() for cell in rest.split("|")]) for name, rest in _ROW.findall(text)]


def code(text: str, language: str) -> list[str]:
    """The fenced blocks of `language`, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)
