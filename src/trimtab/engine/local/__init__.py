"""Runs a model on this machine with torch: the default engine, and the base that tuning trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from trimtab.task.spec import ModelSpec

if TYPE_CHECKING:
    from trimtab.engine.local.engine import LocalEngine


def from_spec(spec: ModelSpec, progress: Callable[[str], None]) -> LocalEngine:
    """Load the model that `spec` names. Raises `ModelError` where it cannot be used."""
    from trimtab.engine.local.engine import LocalEngine
    from trimtab.engine.local.weights import load

    return LocalEngine(load(spec.model, progress))
