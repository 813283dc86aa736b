"""Renders the pages; every text is escaped, and hidden characters are shown."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from jinja2 import Environment
from starlette.responses import HTMLResponse, Response

from trimtab.report.templating import Unchanged, escaping
from trimtab.review.access import FORM_TOKEN, Visitor

SAID: Mapping[str, str] = {
    "approve": "Approved.",
    "correct": "Your correction is saved.",
    "reject": "Rejected.",
    "skip": "Skipped; it comes back at the end.",
    "unknown": "Noted that you do not know; someone else will look at it.",
    "undone": "Taken back. Here it is again.",
    "promoted": "Promoted. Servers take it up within a second.",
    "rolled-back": "Rolled back. Servers take it up within a second.",
    "closed": "The alarm is closed.",
}
"""What a page says after a form; the address names the key, never a text."""


class Pages:
    """Renders for one task."""

    def __init__(self, task: str) -> None:
        self._task = task

    def page(
        self, template: str, visitor: Visitor | None, status: int = 200, **context: object
    ) -> Response:
        html = (
            _environment()
            .get_template(template)
            .render(
                task=self._task,
                visitor=visitor,
                token_name=FORM_TOKEN,
                said=SAID.get(str(context.pop("said_key", None) or "")),
                **context,
            )
        )
        return HTMLResponse(html, status)

    def problem(self, visitor: Visitor | None, status: int, message: str) -> Response:
        return self.page("problem.html.j2", visitor, status, message=message)


@cache
def static_files() -> Mapping[str, tuple[str, str]]:
    """Content and type of all that the pages load besides themselves. The report's style comes
    first, so that both look alike."""
    report = files("trimtab.report") / "templates" / "style.css"
    own = files("trimtab.review") / "static"
    style = report.read_text("utf-8") + (own / "review.css").read_text("utf-8")
    return {
        "style.css": (style, "text/css"),
        "keys.js": ((own / "keys.js").read_text("utf-8"), "text/javascript"),
        "icon.svg": ((own / "icon.svg").read_text("utf-8"), "image/svg+xml"),
    }


@cache
def _environment() -> Environment:
    environment = escaping("trimtab.review")
    environment.filters["plain"] = Unchanged
    return environment
