"""The page on watching and retraining names what the code has: settings, commands, alarms."""

from __future__ import annotations

import json
import re
from typing import get_args

import yaml
from typer.main import get_command

from trimtab.cli import app
from trimtab.store.watching import AlarmKind
from trimtab.watch.settings import WatchSettings

from .pages import page, rows, section

PAGE = page("docs/watch.md")


def test_every_setting_is_there_with_its_default() -> None:
    shown = {name: cells[0].strip("`") for name, cells in rows(section(PAGE, "`watch.yaml`"))}
    defaults = {}
    for block, settings in WatchSettings().model_dump(mode="json").items():
        for key, value in settings.items():
            defaults[f"{block}.{key}"] = yaml.safe_load(json.dumps(value))
    assert {name: yaml.safe_load(text) for name, text in shown.items()} == defaults


def test_every_kind_of_alarm_is_named() -> None:
    shown = {name for name, _ in rows(section(PAGE, "What is watched"))}
    assert shown == set(get_args(AlarmKind))


def test_every_command_on_the_page_is_one_and_takes_its_options() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    calls = re.findall(r"trimtab ([a-z]+)((?: [^`\n|]*)?)", PAGE)
    assert {"watch", "retrain", "versions", "prune", "promote"} <= {name for name, _ in calls}
    for name, rest in calls:
        known = {option for parameter in commands[name].params for option in parameter.opts}
        known |= {o for p in commands[name].params for o in p.secondary_opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, (name, rest)
