"""A progress bar over the whole plan, with the time that is left."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from trimtab.types import Spent


class ConsoleProgress:
    """Notes as lines, and one bar in planned seconds.

    Time left is what the plan says for the undone work, scaled by how long the done work took
    against its plan.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._planned: dict[tuple[str, str | None], Spent] = {}
        self._done: dict[tuple[str, str | None], Spent] = {}
        self._task = self._bar.add_task("starting", total=None, left="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def plan(self, planned: Sequence[Spent], spent: Sequence[Spent]) -> None:
        for stage in planned:
            self._planned[stage.key] = stage
        for stage in spent:
            self._add(stage)
        self._bar.update(self._task, total=sum(stage.seconds for stage in planned))

    def note(self, text: str) -> None:
        self._console.print(escape(text), style="dim", highlight=False)

    def advance(self, spent: Spent) -> None:
        self._add(spent)
        done = sum(self._worth(key) for key in self._planned)
        total = sum(stage.seconds for stage in self._planned.values())
        took = sum(self._done[key].seconds for key in self._planned if key in self._done)
        left = (total - done) * (took / done if done else 1.0)
        self._bar.update(
            self._task, completed=done, description=spent.stage, left=_left(left, total)
        )

    def _add(self, spent: Spent) -> None:
        done = self._done.get(spent.key)
        self._done[spent.key] = done + spent if done else spent

    def _worth(self, key: tuple[str, str | None]) -> float:
        """Planned seconds of the part of a stage that is done: all once a later stage has begun,
        since a search may end long before its share does."""
        planned, done = self._planned[key], self._done.get(key)
        if done is None:
            return 0.0
        if planned.train_tokens:
            share = done.train_tokens / planned.train_tokens
        else:
            share = done.calls / max(planned.calls, 1)
        keys = list(self._planned)
        later = [k for k in keys[keys.index(key) :] if k[0] != key[0]]
        if any(k in self._done for k in later):
            share = 1.0
        return planned.seconds * min(1.0, share)


def _left(seconds: float, total: float) -> str:
    if total == 0:
        return ""
    minutes = seconds / 60
    return "less than a minute left" if minutes < 1 else f"about {minutes:.0f} min left"
