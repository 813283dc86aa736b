"""The server's description as OpenAPI, for clients that are generated and for tests."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from trimtab import __version__

_FILE = "openapi.yaml"


@cache
def description(task: str) -> dict[str, Any]:
    """The description of the server of the task of this name. Not to be changed."""
    found: dict[str, Any] = yaml.safe_load((files("trimtab.serve") / _FILE).read_text("utf-8"))
    found["info"]["version"] = __version__
    found["components"]["schemas"]["Name"]["const"] = task
    return found
