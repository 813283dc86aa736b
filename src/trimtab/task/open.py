"""Opens a task: its file, its rows, and how they are split."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from trimtab.task.data import dataset_hash, iter_examples
from trimtab.task.load import load_task
from trimtab.task.near import near_duplicate_clusters
from trimtab.task.reviewed import with_reviews
from trimtab.task.spec import Task
from trimtab.task.split import Split, make_split, unit_numbers
from trimtab.types import Example


@dataclass(frozen=True)
class OpenTask:
    """A task with its data in memory. `near[i]` is the near-duplicate cluster of `examples[i]`."""

    folder: Path
    task: Task
    examples: tuple[Example, ...]
    near: tuple[int, ...]
    split: Split

    @property
    def data_hash(self) -> str:
        return dataset_hash(self.examples)

    @cached_property
    def clusters(self) -> dict[str, str]:
        """Cluster of each example id, for intervals: the rows that the split keeps together."""
        ids, groups = [row.id for row in self.examples], [row.group for row in self.examples]
        units = unit_numbers(ids, groups, self.near)
        return {identity: f"unit {unit}" for identity, unit in zip(ids, units, strict=True)}


def open_task(path: Path) -> OpenTask:
    """Open the task at `path`, a folder that holds `task.yaml` or the file itself. What experts
    reviewed is part of its rows.

    Raises `TaskError` or `DataError` for what cannot be used.
    """
    task = load_task(path)
    folder = path if path.is_dir() else path.parent
    rows = iter_examples(folder / task.data.path, task.output, task.data.approved_by)
    examples = list(with_reviews(rows, folder))
    near = near_duplicate_clusters([row.input for row in examples])
    split = make_split(
        examples, dev=task.data.dev, test=task.data.test, seed=task.seed, clusters=near
    )
    return OpenTask(folder, task, tuple(examples), tuple(near), split)
