"""docs/retention.md says what the suite holds, and its example items load."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from trimtab.export import FORMS
from trimtab.tune.retention.checks import Checks
from trimtab.tune.retention.suite import SECTIONS, load_suite

from .pages import code, page, rows, section

PAGE = page("docs/retention.md")


def test_the_table_counts_the_items_of_each_part() -> None:
    table = re.findall(r"^\| (\w+) \| (\d+) \|", section(PAGE, "The suite"), re.MULTILINE)
    counts = Counter(item.section for item in load_suite().items)
    assert {name: int(count) for name, count in table} == counts
    assert f"{counts.total()} items" in PAGE
    assert f"({len(load_suite(quick=True).items)})" in PAGE


def test_every_check_is_named_and_no_other() -> None:
    cells = re.findall(r"^\| (`.+?`) \|", section(PAGE, "Your own items"), re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    assert named == set(Checks.model_fields)


def test_the_example_items_load(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(code(PAGE, "json")[0], "utf-8")
    added = [item for item in load_suite(own).items if item.section not in SECTIONS]
    assert len(added) == 3


def test_every_form_of_export_is_documented() -> None:
    forms = [name for name, cells in rows(page("docs/export.md")) if len(cells) == 2]
    assert forms == list(FORMS)
