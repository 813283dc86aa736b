"""A user's own scoring function, in a file beside the task file.

    def judge(answer, target, input):
        return 1.0 if answer["total"] == target["total"] else 0.0

`answer` and `target` are values of the output contract: a label, parsed JSON or text.
"""

from __future__ import annotations

import importlib.util
import inspect
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

from trimtab.errors import TaskError
from trimtab.score.base import Answered, RowScorer
from trimtab.task.contract import parse, short
from trimtab.types import Failed, OutputContract, Scored, content_hash

METRIC = "function"


@dataclass(frozen=True)
class FunctionScorer:
    """What `base` scores, and the function's value as one more metric, 0 for an invalid answer.

    Whatever the function raises, and a result outside 0..1, makes the row `Failed`.
    """

    base: RowScorer
    contract: OutputContract
    function: Callable[..., Any]
    file: Path
    batched = False

    def score_rows(self, rows: Sequence[Answered]) -> list[Scored | Failed]:
        pairs = zip(rows, self.base.score_rows(rows), strict=True)
        return [self._with_function(row, scored) for row, scored in pairs]

    def _with_function(self, row: Answered, scored: Scored | Failed) -> Scored | Failed:
        if isinstance(scored, Failed):
            return scored
        value = 0.0
        if scored.valid:
            target = parse(self.contract, row.target)
            try:
                result = self.function(answer=scored.parsed, target=target, input=row.input)
                value = _checked(result)
            except Exception as error:  # a user's code may raise anything
                return Failed(boundary="scorer", message=_blame(error, self.file))
        return scored.model_copy(update={"metrics": scored.metrics | {METRIC: value}})


def load_function(where: str, folder: Path) -> tuple[Callable[..., Any], Path]:
    """The function that `scorer.py:judge` names, its file relative to `folder`.

    Raises:
        TaskError: the file cannot be read or run, or holds no function that takes `answer`,
            `target` and `input` by name.
    """
    path, _, name = where.rpartition(":")
    file = (folder / path).resolve()
    module = _run_file(file)
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise TaskError(
            f"scoring.function: {file} holds no function {name!r}; "
            f"it holds: {', '.join(known) or 'none'}"
        )
    try:
        inspect.signature(function).bind(answer="", target="", input="")
    except (TypeError, ValueError) as error:
        raise TaskError(
            f"scoring.function: {file}: {name} is called as {name}(answer=..., target=..., "
            f"input=...), and {error}; write it as def {name}(answer, target, input)"
        ) from error
    return function, file


def _run_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise TaskError(
            f"scoring.function: there is no file {file}; the path is relative to the task file"
        )
    name = f"trimtab_scorer_{content_hash(str(file))}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses in the file look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # a user's code may raise anything
        del sys.modules[name]
        raise TaskError(f"scoring.function: {file} cannot be run: {_blame(error, file)}") from error
    return module


def _checked(result: object) -> float:
    """The result as a float; also of numpy's numbers and of truth values."""
    if not isinstance(result, Real):
        raise TypeError(f"the function must give a number in 0..1, not {short(result, 60)}")
    value = float(result)
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"the function must give a number in 0..1, not {value}")
    return value


def _blame(error: Exception, file: Path) -> str:
    """The last line of the traceback, with the last place in `file` that it went through."""
    (*_, said) = traceback.format_exception_only(error)
    lines = [
        frame.lineno
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename == str(file)
    ]
    place = f"{file.name}:{lines[-1]}" if lines else file.name
    return f"{place}: {said.strip()}"
