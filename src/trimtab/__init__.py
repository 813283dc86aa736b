"""Trimtab decides, with evidence, between prompting and fine-tuning a language model for a task.

import trimtab
decided = trimtab.decide("task.yaml")
print(decided.decision.verdict.headline)

variant = trimtab.load(decided.folder)
print(variant.predict("1600 Pennsylvania Ave NW, Washington DC 20500").text)
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trimtab.engine.base import Engine
    from trimtab.engine.fake import FakeEngine
    from trimtab.errors import InputError, TrimtabError
    from trimtab.pipeline import Decided, decide, plan
    from trimtab.predictor import Predictor, load
    from trimtab.score.base import Scorer
    from trimtab.task.load import load_task
    from trimtab.task.spec import Task
    from trimtab.types import Comparison, Decision, Example, Gate, Variant, Verdict

__version__ = "0.1.0"

_WHERE = {
    "decide": "pipeline",
    "plan": "pipeline",
    "Decided": "pipeline",
    "load": "predictor",
    "Predictor": "predictor",
    "load_task": "task.load",
    "Task": "task.spec",
    "Decision": "types",
    "Verdict": "types",
    "Gate": "types",
    "Comparison": "types",
    "Variant": "types",
    "Example": "types",
    "Engine": "engine.base",
    "FakeEngine": "engine.fake",
    "Scorer": "score.base",
    "TrimtabError": "errors",
    "InputError": "errors",
}

__all__ = [  # noqa: RUF022 - in the order in which a reader needs them
    "decide",
    "plan",
    "Decided",
    "load",
    "Predictor",
    "load_task",
    "Task",
    "Decision",
    "Verdict",
    "Gate",
    "Comparison",
    "Variant",
    "Example",
    "Engine",
    "FakeEngine",
    "Scorer",
    "TrimtabError",
    "InputError",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `trimtab --help` starts at once."""
    if name not in _WHERE:
        raise AttributeError(f"module 'trimtab' has no attribute {name!r}")
    return getattr(import_module(f"trimtab.{_WHERE[name]}"), name)


class _Package(ModuleType):
    """Keeps `trimtab.decide` the function: Python would put the folder of that name in its place
    when something in it is imported."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _WHERE and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
