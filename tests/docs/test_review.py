"""The page on reviewing names what the code has: settings, reasons, keys, columns, commands."""

from __future__ import annotations

import json
import re

import yaml
from typer.main import get_command

from trimtab.cli import app
from trimtab.review.access import MOST_TRIES
from trimtab.review.settings import ReviewSettings
from trimtab.review.signals import REASONS
from trimtab.task.reviewed import Reviewed

from .pages import ROOT, page, rows, section

REVIEW = page("docs/review.md")
ITEM = (ROOT / "src/trimtab/review/templates/item.html.j2").read_text("utf-8")


def test_every_setting_is_there_with_its_default() -> None:
    shown = {name: cells[0].strip("`") for name, cells in rows(section(REVIEW, "`review.yaml`"))}
    defaults = {
        key: yaml.safe_load(json.dumps(value))
        for key, value in ReviewSettings().model_dump(mode="json").items()
    }
    assert {name: yaml.safe_load(text) for name, text in shown.items()} == defaults


def test_every_reason_is_explained() -> None:
    shown = {name for name, _ in rows(section(REVIEW, "What is asked"))}
    assert shown == set(REASONS) - {"import"}


def test_every_key_of_a_row_is_explained() -> None:
    table = section(REVIEW, "What becomes of it").split("| key |")[1].split("\n\n")[0]
    names = set(
        re.findall(r"`(\w+)`", "\n".join(line.split("|")[1] for line in table.split("\n")[2:]))
    )
    assert names == set(Reviewed.model_fields)


def test_every_key_of_the_page_is_named() -> None:
    keys = set(re.findall(r'data-key="([a-z])"', ITEM))
    assert keys == set(re.findall(r"`([a-z])`", section(REVIEW, "For reviewers")))


def test_the_number_of_tries_is_right() -> None:
    assert f"After {MOST_TRIES} wrong passwords" in REVIEW


def test_every_command_is_one_and_takes_its_options() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for name, rest in re.findall(r"trimtab (review|reviewer)\b((?: [^`\n|]*)?)", REVIEW):
        command = commands[name]
        if name == "reviewer":
            command = command.commands[rest.split()[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, (name, rest)
