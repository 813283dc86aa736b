"""A real browser: by keyboard alone, on a phone, and without scripts."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chromium import browser, needs_chromium
from decisions import write_task
from trimtab.task.reviewed import read_reviewed

from .pages import ADDRESS, PASSWORD, add_items, add_people, item, reviewing

pytest.importorskip("playwright.sync_api")

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def chromium() -> Iterator:
    with browser() as launched:
        yield launched


def signed_in(chromium, base: str, **options):
    page = chromium.new_page(**options)
    page.goto(f"{base}/login")
    page.fill("#name", "reviewer-1")
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_url(f"{base}/")
    return page


def keys(page, *pressed: str) -> None:
    for key in pressed:
        page.keyboard.press(key)


def test_labels_are_reviewed_by_single_keys(chromium, server, folder, url) -> None:
    add_items(url, *(item(f"name {i}", place=i / 10) for i in range(4)))
    page = signed_in(chromium, server.base)
    page.goto(f"{server.base}/review")
    for key, told in (("a", "Approved."), ("2", "correction is saved"), ("r", "Rejected.")):
        keys(page, key)
        page.wait_for_selector(f"[role=status] :text('{told}')")
    keys(page, "u")
    page.wait_for_selector("[role=status] :text('Taken back')")
    keys(page, "m")
    page.keyboard.type("arm")  # letters in a field are letters
    keys(page, "Escape", "r")
    page.wait_for_selector("[role=status] :text('Rejected.')")
    page.close()
    rows = [(line.input, line.action, line.output) for line, _ in read_reviewed(folder)]
    assert rows == [
        ("name 0", "approve", "person"),
        ("name 1", "correct", "company"),
        ("name 2", "reject", None),
    ]


def test_single_keys_can_be_turned_off(chromium, server, folder, url) -> None:
    add_items(url, item())
    page = signed_in(chromium, server.base)
    page.goto(f"{server.base}/review")
    page.click(".help summary")
    page.click("#keys")
    page.click("h1")
    keys(page, "a")
    page.wait_for_timeout(300)
    assert read_reviewed(folder) == []
    page.close()


@pytest.fixture
def json_server(tmp_path, url):
    folder = write_task(tmp_path / "json", output=ADDRESS, metric="field_f1")
    add_people(url, "reviewer-1")
    with reviewing(folder, url) as started:
        started.folder = folder
        yield started


def test_a_form_is_corrected_by_keyboard(chromium, json_server, url) -> None:
    items = [item(f"address {i}", '{"city":"Austin","zip":"1"}', place=i / 10) for i in range(2)]
    add_items(url, *items)
    page = signed_in(chromium, json_server.base)
    page.goto(f"{json_server.base}/review")
    keys(page, "e", "Control+a")
    page.keyboard.type("Dallas")
    keys(page, "Control+Enter")
    page.wait_for_selector("[role=status] :text('correction is saved')")
    keys(page, "e", "Tab", "Control+a")
    page.keyboard.type("2")
    keys(page, "Enter")
    page.wait_for_selector(":text('Nothing left for you')")
    page.close()
    found = [line.output for line, _ in read_reviewed(json_server.folder)]
    assert found == ['{"city":"Dallas","zip":"1"}', '{"city":"Austin","zip":"2"}']


def test_nothing_is_wider_than_a_phone_and_no_policy_is_broken(chromium, json_server, url) -> None:
    long = '{"city":"' + "x" * 300 + '"}'
    add_items(url, item("y" * 500, long, others=('{"city":"Austin"}',)))
    page = signed_in(chromium, json_server.base, viewport={"width": 390, "height": 800})
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    for path in ("/", "/review", "/torn"):
        page.goto(f"{json_server.base}{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path
    page.close()
    assert said == []


def test_all_works_without_scripts(chromium, server, folder, url) -> None:
    add_items(url, item())
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{server.base}/login")
    page.fill("#name", "reviewer-1")
    page.fill("#password", PASSWORD)
    page.click("button")
    page.goto(f"{server.base}/review")
    page.click("button[value=company]")
    assert "Nothing left" in page.content()
    context.close()
    assert [line.output for line, _ in read_reviewed(folder)] == ["company"]
