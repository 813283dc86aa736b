"""Templates whose every text is escaped, with hidden characters shown."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from trimtab.report import values


class Unchanged(str):
    """A text that goes into a form's field: escaped, and not changed, since it comes back."""

    __slots__ = ()


def escaping(package: str) -> Environment:
    """For the folder `templates` of this package."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["values"] = values
    return environment


def _finalize(value: object) -> object:
    """Last step before escaping, for every expression: None in words, hidden characters shown."""
    if value is None:
        return values.UNMEASURED
    return value if isinstance(value, (Markup, Unchanged)) else values.visible(str(value))
