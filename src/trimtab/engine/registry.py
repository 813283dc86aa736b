"""Engines by name: entry points of the group `trimtab.engines`, the built-in ones included."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points, metadata

from trimtab.engine.base import Engine
from trimtab.errors import ModelError
from trimtab.task.spec import ModelSpec

GROUP = "trimtab.engines"


def make_engine(spec: ModelSpec, progress: Callable[[str], None]) -> Engine:
    """Make the engine that `spec.engine` names.

    An entry point is a function `(spec, progress) -> Engine`; `progress` takes one line of text
    for a person when something slow begins.

    Raises:
        ModelError: no engine has this name, or its packages are not installed; and whatever the
            engine finds wrong with the spec.
    """
    known = {point.name: point for point in entry_points(group=GROUP)}
    if spec.engine not in known:
        names = ", ".join(sorted(known)) or "none, because trimtab itself is not installed"
        raise ModelError(f"engine {spec.engine!r} is not known; the known ones: {names}")
    try:
        factory: Callable[[ModelSpec, Callable[[str], None]], Engine] = known[spec.engine].load()
        return factory(spec, progress)
    except ImportError as error:
        raise ModelError(
            f"engine {spec.engine!r} needs a package that is not installed ({error}); "
            f"install what it needs, as in: pip install 'trimtab[{_extra(spec.engine)}]'"
        ) from error


def _extra(engine: str) -> str:
    """The extra of this engine, where it is one of Trimtab's own."""
    extras = metadata("trimtab").get_all("Provides-Extra") or []
    return engine if engine in extras else "local"
