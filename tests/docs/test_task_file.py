"""docs/task-file.md names every key of the task file, with its default, and no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from trimtab.errors import TaskError
from trimtab.task.load import load_task
from trimtab.task.spec import METRICS, ModelSpec, Prices, Task

from .pages import code, page, rows, section

PAGE = page("docs/task-file.md")
EXAMPLE = code(PAGE, "yaml")[0]

SHARED = {ModelSpec: "`models.prompt` and `models.tune`", Prices: "`prices`"}
"""Blocks that stand in several places: their keys are documented once, without the place."""


def block_of(field: FieldInfo) -> type[BaseModel] | None:
    options = [each for each in get_args(field.annotation) if each is not NoneType]
    (kind,) = options if len(options) == 1 else [field.annotation]
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def fields(model: type[BaseModel], place: str = "") -> Iterator[tuple[str, str, FieldInfo]]:
    """(heading of the table, key as documented, field) of `model` and all blocks below it."""
    heading = SHARED.get(model) or (f"`{place[:-1]}`" if place else "Top level")
    for name, field in model.model_fields.items():
        key = field.alias or name
        yield heading, key if model in SHARED else place + key, field
        block = block_of(field)
        if block is not None and block not in SHARED:
            yield from fields(block, f"{place}{key}.")


FIELDS = [*fields(Task), *fields(ModelSpec), *fields(Prices)]


def test_every_key_is_documented_in_the_table_of_its_block_and_no_other_is():
    documented = {
        (heading, name)
        for heading in dict.fromkeys(heading for heading, _, _ in FIELDS)
        for name, cells in rows(section(PAGE, heading))
        if len(cells) == 3  # the table of metrics has fewer columns
    }
    assert documented == {(heading, key) for heading, key, _ in FIELDS}
    assert len(FIELDS) == len({(heading, key) for heading, key, _ in FIELDS})


@pytest.mark.parametrize(
    ("heading", "key", "field"), FIELDS, ids=[f"{h} {k}" for h, k, _ in FIELDS]
)
def test_the_default_is_that_of_the_code(heading, key, field):
    (cells,) = [cells for name, cells in rows(section(PAGE, heading)) if name == key]
    default = cells[1]
    if field.is_required():
        assert default == "required"
    elif isinstance(field.default, BaseModel):
        assert default == "all of its defaults"
        assert field.default == type(field.default)()
    else:
        expected = field.get_default(call_default_factory=True)
        assert default.startswith("`")
        assert default.endswith("`")
        written = yaml.safe_load(default.strip("`"))
        assert written == (list(expected) if isinstance(expected, tuple) else expected)


def test_every_metric_is_documented_for_its_kind():
    documented = [
        (kind, cells[0].strip("`"))
        for kind, cells in rows(section(PAGE, "`output`"))
        if kind in METRICS
    ]
    assert documented == [(kind, metric) for kind, metrics in METRICS.items() for metric in metrics]


def test_the_example_loads(tmp_path: Path):
    (tmp_path / "task.yaml").write_text(EXAMPLE, "utf-8")
    task = load_task(tmp_path)
    assert task.name == "tickets"
    assert task.models.tune is not None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("learning_rates", "[]"),
        ("learning_rates", "[-1]"),
        ("train_sizes", "[0]"),
        ("demonstrations", "[0]"),
    ],
)
def test_a_search_that_cannot_run_is_refused_with_its_line(tmp_path: Path, key: str, value: str):
    (tmp_path / "task.yaml").write_text(f"{EXAMPLE}search:\n  {key}: {value}\n", "utf-8")
    line = EXAMPLE.count("\n") + 2
    with pytest.raises(TaskError, match=rf"task.yaml:{line}: search\.{key}"):
        load_task(tmp_path)
