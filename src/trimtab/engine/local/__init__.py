"""Runs a model on this machine with torch: the default engine, and the base that tuning trains."""

from __future__ import annotations

from collections.abc import Callable

from trimtab.engine.base import Engine
from trimtab.task.spec import ModelSpec


def from_spec(spec: ModelSpec, progress: Callable[[str], None]) -> Engine:
    """Load the model that `spec` names. Raises `ModelError` where it cannot be used."""
    from trimtab.engine.local.engine import LocalEngine
    from trimtab.engine.local.weights import load

    return LocalEngine(load(spec.model, progress))
