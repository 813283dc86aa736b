"""The review pages in a real browser, as people use them: the queue by keyboard alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

WIDTHS = (1280, 390)
"""Of a desktop and of a phone, in px."""


@dataclass(frozen=True)
class Item:
    """What the page of one item shows."""

    id: str
    input: str
    answer: str


class Person:
    """Someone signed in, at one page."""

    def __init__(self, chromium: Any, base: str, name: str, password: str) -> None:
        self.base = base
        self.page = chromium.new_page(viewport={"width": WIDTHS[0], "height": 900})
        self.page.goto(f"{base}/login")
        self.page.focus("#name")
        self.page.keyboard.type(name)
        self.press("Tab")
        self.page.keyboard.type(password)
        self.press("Enter")
        self.page.wait_for_url(f"{base}/")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def go(self, path: str) -> None:
        self.page.goto(f"{self.base}{path}")

    def item(self) -> Item:
        """The item on the page, read off it."""
        action = self.page.get_attribute("form#answer", "action")
        return Item(
            id=action.rsplit("/", 1)[-1],
            input=self.page.inner_text("p.given"),
            answer=self.page.get_attribute(".labels button.given", "value"),
        )

    def say(self, key: str, told: str) -> None:
        """Press a single key; the next page must say `told`."""
        with self.page.expect_navigation():
            self.press(key)
        assert told in self.page.inner_text("[role=status]")

    def fill_in(self, summary: str, reason: str, button: str) -> None:
        """Open a form of the home page, give the reason, and send it."""
        self.page.get_by_text(summary, exact=False).first.click()
        form = self.page.locator("form", has=self.page.get_by_role("button", name=button)).first
        form.get_by_label("Reason").fill(reason)
        with self.page.expect_navigation():
            form.get_by_role("button", name=button).click()

    def shots(self, name: str, folder: Path) -> None:
        """Pictures at both widths; nothing may be wider than the screen."""
        folder.mkdir(exist_ok=True)
        for width in WIDTHS:
            self.page.set_viewport_size({"width": width, "height": 900})
            assert self.page.evaluate("document.documentElement.scrollWidth") <= width, name
            self.page.screenshot(path=folder / f"{name}-{width}.png", full_page=True)
        self.page.set_viewport_size({"width": WIDTHS[0], "height": 900})

    def leave(self) -> None:
        self.page.close()
