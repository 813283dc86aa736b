"""The pages on serving name what the code has: settings, routes, headers, figures, commands."""

from __future__ import annotations

import json
import re

import yaml
from typer.main import get_command

from trimtab.cli import app
from trimtab.serve.metrics import Metrics
from trimtab.serve.settings import ServeSettings

from .pages import ROOT, page, rows, section

SERVING, OPERATIONS = page("docs/serving.md"), page("docs/operations.md")
SOURCE = "".join(path.read_text("utf-8") for path in (ROOT / "src/trimtab/serve").glob("*.py"))


def test_every_setting_is_there_with_its_default() -> None:
    shown = {name: cells[0].strip("`") for name, cells in rows(section(SERVING, "`serve.yaml`"))}
    defaults = {}
    for block, settings in ServeSettings().model_dump(mode="json").items():
        for key, value in settings.items():
            defaults[f"{block}.{key}"] = yaml.safe_load(json.dumps(value))
    assert {name: yaml.safe_load(text) for name, text in shown.items()} == defaults


def test_every_header_and_route_is_named() -> None:
    assert set(re.findall(r"x-trimtab-[a-z-]+", SERVING)) == set(
        re.findall(r"x-trimtab-[a-z-]+", SOURCE)
    )
    for route in re.findall(r'Route\("(/[a-z0-9/]+)', SOURCE):
        assert route.rstrip("/") in SERVING, route


def test_every_figure_is_named() -> None:
    metrics = Metrics()
    metrics.called("champion", "ok", 0.1, 1, 1)
    names = set(re.findall(r"^# TYPE (\S+)", metrics.text().decode(), re.M))
    families = {re.sub(r"(_total|_created)$", "", name) for name in names}
    shown = {
        re.sub(r"_total$", "", name) for name in re.findall(r"trimtab_[a-z_]+[a-z]", OPERATIONS)
    }
    assert families == shown


def test_every_command_on_the_pages_is_one_and_takes_its_options() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    calls = re.findall(r"trimtab ([a-z]+)((?: [^`\n|]*)?)", SERVING + OPERATIONS)
    assert {"serve", "promote", "retire", "rollback", "deployments", "key"} <= {
        name for name, _ in calls
    }
    for name, rest in calls:
        command = commands[name]
        if name == "key":
            command = command.commands[rest.split()[0]]
        known = {option for parameter in command.params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, (name, rest)
