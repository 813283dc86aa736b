"""Finds the scorer of a contract. Built-in scorers are registered like anyone else's."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import cast

from trimtab.errors import TaskError
from trimtab.score.base import Scorer
from trimtab.task.spec import METRICS
from trimtab.types import OutputContract

GROUP = "trimtab.scorers"
"""Entry points named by the contract's kind; each is a function `OutputContract -> Scorer`."""


def scorer_for(output: OutputContract, metric: str) -> Scorer:
    """The scorer whose results hold `metric` for answers under `output`.

    Raises `TaskError` when the metric does not judge this kind of output, or when not exactly one
    usable scorer is installed for the kind.
    """
    fitting = METRICS[output.kind]
    if metric not in fitting:
        raise TaskError(
            f"metric: {metric!r} does not judge {output.kind} outputs; "
            f"use one of: {', '.join(fitting)}"
        )
    found = tuple(entry_points(group=GROUP, name=output.kind))
    if not found:
        known = ", ".join(sorted(entry_points(group=GROUP).names)) or "none"
        raise TaskError(
            f"output.kind: no scorer is installed for {output.kind!r} (installed: {known}); "
            "install trimtab with pip, so that its entry points are registered"
        )
    if len(found) > 1:
        values = ", ".join(point.value for point in found)
        raise TaskError(
            f"output.kind: several scorers claim {output.kind!r} ({values}); "
            "uninstall all packages but one of them"
        )
    try:
        factory = found[0].load()
    except (ImportError, AttributeError) as problem:
        raise TaskError(
            f"output.kind: the scorer {found[0].value!r} for {output.kind!r} cannot be loaded "
            f"({problem}); reinstall the package that provides it"
        ) from problem
    return cast(Scorer, factory(output))
