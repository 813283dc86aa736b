"""What the progress bar counts as done."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from trimtab.cli.progress import ConsoleProgress
from trimtab.types import Spent

PLAN = (
    Spent(stage="prompt search", arm="prompt", calls=100, seconds=100),
    Spent(stage="sealed test", arm="prompt", calls=10, seconds=50),
    Spent(stage="sealed test", arm="fine-tune", calls=10, seconds=50),
)


def completed(*steps: Spent) -> float:
    progress = ConsoleProgress(Console(file=io.StringIO()))
    progress.plan(PLAN, ())
    for step in steps:
        progress.advance(step)
    (task,) = progress._bar.tasks
    return task.completed


def used(stage: str, arm: str, calls: int) -> Spent:
    return Spent(stage=stage, arm=arm, calls=calls, seconds=calls)


def test_a_stage_under_way_counts_by_its_calls() -> None:
    assert completed(used("prompt search", "prompt", 30)) == pytest.approx(30)


def test_a_search_that_ended_before_its_share_counts_as_done() -> None:
    steps = used("prompt search", "prompt", 30), used("sealed test", "prompt", 1)
    assert completed(*steps) == pytest.approx(105)


def test_the_other_arm_of_the_same_stage_ends_nothing() -> None:
    steps = used("sealed test", "prompt", 5), used("sealed test", "fine-tune", 1)
    assert completed(*steps) == pytest.approx(30)
