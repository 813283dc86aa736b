"""docs/prompts.md names every style, format and export, and its examples work."""

from __future__ import annotations

import yaml

from trimtab.prompt.export import EXPORTS
from trimtab.prompt.own import own_prompts
from trimtab.prompt.render import render
from trimtab.prompt.styles import STYLES
from trimtab.prompt.wording import FORMATS
from trimtab.task.load import load_task

from .pages import code, page, rows, section

PAGE = page("docs/prompts.md")
TASK = code(page("docs/task-file.md"), "yaml")[0]


def test_every_style_stands_there_as_in_the_code():
    documented = {name: cells[0] for name, cells in rows(section(PAGE, "Styles"))}
    expected = {name: style.description for name, style in STYLES.items()}
    expected["plain"] += ". The default"
    assert documented == expected


def test_every_format_and_export_stands_there():
    made = section(PAGE, "What a prompt is made of")
    assert all(f"`{name}`" in made for name in FORMATS)
    taken = section(PAGE, "Taking a prompt elsewhere")
    assert all(f"| `{name}`" in taken for name in EXPORTS)


def test_the_example_prompts_are_the_same_prompt(tmp_path):
    asked = yaml.safe_load(code(PAGE, "yaml")[0])["search"]["prompts"]
    (tmp_path / "task.yaml").write_text(TASK + f"search:\n  prompts: {asked}\n", "utf-8")
    (tmp_path / "prompts").mkdir()
    for name, kind in zip(asked, ("text", "json"), strict=True):
        (tmp_path / name).write_text(code(PAGE, kind)[0], "utf-8")
    text, chat = own_prompts(tmp_path, load_task(tmp_path))
    assert render(text, "Ann", None) == render(chat, "Ann", None)
