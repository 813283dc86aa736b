"""Attacks on the pages. Each test fails where its defence is taken away."""

from __future__ import annotations

import re

import httpx
import pytest

from report.pages import Page
from trimtab.review import access
from trimtab.review.access import (
    COOKIE,
    DEVICE_COOKIE,
    MOST_BYTES,
    MOST_TRIES,
    MOST_TRIES_OF_ONE,
    Tries,
)
from trimtab.serve.refusal import Refused
from trimtab.store.database import Database
from trimtab.store.reviewers import (
    device_is,
    find_reviewer,
    hash_password,
    list_reviewers,
    revoke_reviewer,
)
from trimtab.store.reviews import reviews_of
from trimtab.store.trail import trail

from .pages import PASSWORD, add_items, item

ATTACK = "<script>alert(1)</script><img src=x onerror=alert(2)>\"' onfocus=alert(3) autofocus x='"
GETS = ("/", "/review", "/review/0", "/torn", "/trail", "/runs/x/report")
POSTS = ("/review/0", "/undo", "/promote", "/rollback", "/alarm", "/logout")


class Clock:
    """Seconds, moved by the test."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def reviews(url: str, which) -> int:
    database = Database(url)
    count = len(reviews_of(database, which.id))
    database.close()
    return count


def test_what_models_and_people_write_never_becomes_markup(server, url) -> None:
    bad = item(
        ATTACK,
        ATTACK,
        problem=ATTACK,
        reason="invalid",
        reasons={"invalid": ATTACK},
        others=(ATTACK,),
        needed=2,
    )
    add_items(url, bad)
    one, admin = server.browser("reviewer-1"), server.browser("admin-1")
    pages = [one.get("/review"), one.say(action="correct", label=ATTACK, comment=ATTACK)]
    one.say(action="reject", comment=ATTACK)
    two = server.browser("reviewer-2")
    two.get("/review")
    pages += [
        two.say(**{"pick-label": "company"}),
        admin.get("/torn"),
        admin.get(f"/review/{bad.id}"),
    ]
    pages += [admin.get("/trail"), one.log_in(ATTACK), admin.get(f"/runs/{ATTACK}/report")]
    for page in pages:
        read = Page(page)
        scripts = [v for tag, name, v in read.attributes if (tag, name) == ("script", "src")]
        assert scripts == ["/static/keys.js"]
        assert read.tags["script"] == 1
        assert not [name for _, name, _ in read.attributes if name.startswith("on")]
        assert "img" not in read.tags
    assert ATTACK in Page(pages[0]).text


def test_browsers_are_told_to_run_nothing_but_the_own_script(server, url) -> None:
    add_items(url, item())
    browser = server.browser("reviewer-1")
    for path in (*GETS, "/login", "/static/keys.js", "/nowhere"):
        headers = browser.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    page = browser.get("/review")
    assert not re.search(r"<script(?![^>]* src=)", page)
    assert " style=" not in page


@pytest.mark.parametrize("path", GETS)
def test_nothing_is_shown_without_signing_in(server, path) -> None:
    answer = httpx.get(server.base + path)
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    forged = httpx.get(server.base + path, cookies={COOKIE: "x" * 43})
    assert forged.headers["location"] == "/login"


@pytest.mark.parametrize("path", POSTS)
def test_nothing_is_done_without_signing_in(server, path) -> None:
    answer = httpx.post(server.base + path, data={"action": "approve"})
    assert (answer.status_code, answer.headers.get("location")) == (303, "/login")


def test_only_administrators_change_what_serves(server) -> None:
    browser = server.browser("reviewer-1")
    browser.get("/review")
    for path in ("/promote", "/rollback", "/alarm"):
        browser.post(path, {"reason": "because", "run": "x", "alarm": "x"})
        assert browser.status == 403, path
    browser.get("/trail")
    assert browser.status == 403


def test_a_form_of_another_site_is_refused(server, url) -> None:
    one = item()
    add_items(url, one)
    browser = server.browser("reviewer-1")
    browser.get("/review")
    path, token = f"/review/{one.id}", browser.token
    good = {"action": "approve", "token": token}
    for fields, headers in (
        ({"action": "approve"}, {}),
        ({"action": "approve", "token": "0" * 64}, {}),
        ({"action": "approve", "token": server.browser("reviewer-2").token}, {}),
        (good, {"origin": "https://evil.example"}),
        (good, {"origin": "null"}),
        (good, {"sec-fetch-site": "cross-site"}),
        (good, {"sec-fetch-site": "same-site"}),
    ):
        answer = browser.client.post(path, data=fields, headers=headers)
        assert answer.status_code == 403, (fields, headers)
    assert reviews(url, one) == 0
    assert browser.client.post(path, data=good, headers={"origin": server.base}).status_code == 200
    assert reviews(url, one) == 1


def test_signing_in_from_another_site_is_refused(server) -> None:
    """Else a reviewer could be made to work under a stranger's name."""
    fields = {"name": "reviewer-1", "password": PASSWORD}
    headers = {"origin": "https://evil.example"}
    answer = httpx.post(server.base + "/login", data=fields, headers=headers)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_reading_never_changes_anything(server, url) -> None:
    one = item()
    add_items(url, one)
    browser = server.browser("reviewer-1")
    for path in (f"/review/{one.id}?action=approve", "/undo", "/logout", "/promote?run=x"):
        browser.get(path)
    assert reviews(url, one) == 0
    assert "reviewer-1" in browser.get("/")


def test_the_session_cookie_is_out_of_reach_of_scripts_and_sites(server) -> None:
    fields = {"name": "reviewer-1", "password": PASSWORD}
    cookie = httpx.post(server.base + "/login", data=fields).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    browser = server.browser("reviewer-1")
    before = browser.client.cookies[COOKIE]
    browser.get("/")
    browser.post("/logout", {})
    answer = httpx.get(server.base + "/", cookies={COOKIE: before})
    assert answer.headers["location"] == "/login", "signed out on the server too"


def test_a_session_is_new_at_each_sign_in(server) -> None:
    """A cookie that someone planted before is not taken over."""
    fields = {"name": "reviewer-1", "password": PASSWORD}
    planted = "a" * 43
    answer = httpx.post(server.base + "/login", data=fields, cookies={COOKIE: planted})
    assert planted not in answer.headers["set-cookie"]
    assert httpx.get(server.base + "/", cookies={COOKIE: planted}).status_code == 303


def test_a_revoked_reviewer_is_out_at_once(server, url) -> None:
    browser = server.browser("reviewer-1")
    database = Database(url)
    revoke_reviewer(database, "names", "reviewer-1")
    database.close()
    assert "Sign in" in browser.get("/")
    browser.log_in("reviewer-1")
    assert browser.status == 401


def test_passwords_cannot_be_guessed_by_trying(server, url) -> None:
    browser = server.browser()
    for _ in range(MOST_TRIES):
        browser.log_in("reviewer-1", "wrong password")
        assert browser.status == 401
    browser.log_in("reviewer-1")
    assert browser.status == 429
    browser.log_in("reviewer-2")
    assert browser.status == 200, "others can still sign in"
    database = Database(url)
    failed = [step for step in trail(database, "names") if step.what == "failed to sign in"]
    secrets = [person.secret for person in list_reviewers(database, "names")]
    database.close()
    assert len(failed) == MOST_TRIES
    assert not any(PASSWORD in secret for secret in secrets)


def test_strangers_cannot_keep_a_reviewer_out_of_a_browser_that_is_known(server) -> None:
    """All come from one address, as behind a proxy."""
    known = server.browser("reviewer-1")
    known.post("/logout", {})
    stranger = server.browser()
    for _ in range(MOST_TRIES):
        stranger.log_in("reviewer-1", "wrong password")
    stranger.log_in("reviewer-1")
    assert stranger.status == 429
    known.log_in("reviewer-1")
    assert known.status == 200
    assert "reviewer-1" in known.page
    known.post("/logout", {})
    for _ in range(MOST_TRIES):
        known.log_in("reviewer-1", "wrong password")
        assert known.status == 401
    known.log_in("reviewer-1")
    assert known.status == 429, "a stolen browser cannot guess on and on"


def test_a_known_browser_is_known_for_one_person_and_password_only(server, url) -> None:
    known = server.browser("reviewer-1")
    proof = known.client.cookies[DEVICE_COOKIE]
    database = Database(url)
    one, two = (find_reviewer(database, "names", name) for name in ("reviewer-1", "reviewer-2"))
    database.close()
    assert device_is(one, proof)
    assert not device_is(two, proof)
    assert not device_is(one.model_copy(update={"secret": hash_password("another one")}), proof)
    for forged in ("", ".", "x", proof[:-1], f"x{proof}", proof + "0", "\xff.\xff"):
        assert not device_is(one, forged)
    headers = httpx.post(
        server.base + "/login", data={"name": "reviewer-1", "password": PASSWORD}
    ).headers.get_list("set-cookie")
    (cookie,) = [each.lower() for each in headers if each.startswith(DEVICE_COOKIE)]
    assert "httponly" in cookie
    assert "path=/login" in cookie


def test_waits_grow_and_end(clock) -> None:
    tries = Tries(clock)

    def wait() -> float:
        """Until the next try is taken."""
        started = clock()
        while True:
            try:
                tries.count("a", "1.2.3.4")
            except Refused as refused:
                assert refused.status == 429
                clock.now += 1
            else:
                return clock() - started

    waits = [wait() for _ in range(MOST_TRIES + 8)]
    assert waits[:MOST_TRIES] == [0] * MOST_TRIES
    assert waits[MOST_TRIES:] == [15, 30, 60, 120, 240, 480, 600, 600]
    tries.count("a", "5.6.7.8")
    clock.now += access.FORGOTTEN_S + 1
    assert [wait() for _ in range(MOST_TRIES)] == [0] * MOST_TRIES
    tries.succeeded("a", "1.2.3.4")
    assert [wait() for _ in range(MOST_TRIES)] == [0] * MOST_TRIES


def test_guessing_many_names_slows_an_address_and_locks_nobody_out(clock) -> None:
    tries = Tries(clock)
    for number in range(MOST_TRIES_OF_ONE):
        tries.count(f"name {number}", "1.2.3.4")
    with pytest.raises(Refused):
        tries.count("another", "1.2.3.4")
    tries.count("another", "5.6.7.8")
    clock.now += 2
    tries.count("another", "1.2.3.4")
    tries.succeeded("another", "1.2.3.4")
    clock.now += 1
    with pytest.raises(Refused):
        tries.count("one more", "1.2.3.4")
    tries.count("one more", "1.2.3.4", "known")


def test_guessing_one_name_from_many_addresses_is_slow(clock) -> None:
    tries = Tries(clock)
    for number in range(MOST_TRIES_OF_ONE):
        tries.count("a", str(number))
    with pytest.raises(Refused):
        tries.count("a", "another")
    clock.now += 60
    tries.count("a", "another")


def test_very_many_names_take_no_more_room(clock, monkeypatch) -> None:
    monkeypatch.setattr(access, "_MOST_KEYS", 100)
    tries = Tries(clock)
    for number in range(1000):
        clock.now += 1
        tries.count(str(number), str(number))
    assert len(tries._made) <= 103
    for _ in range(MOST_TRIES - 1):
        tries.count("999", "999")
    with pytest.raises(Refused):
        tries.count("999", "999")


def test_a_foreign_host_name_is_refused(server) -> None:
    """DNS rebinding: a page of evil.example whose name resolves to this machine."""
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "["):
        answer = httpx.get(server.base + "/login", headers={"host": host})
        assert answer.status_code == 400, host
    port = server.base.rsplit(":", 1)[1]
    assert httpx.get(server.base + "/login", headers={"host": f"localhost:{port}"}).is_success


def test_files_outside_of_the_reports_cannot_be_read(server, folder) -> None:
    run = folder / "runs" / "20260101T000000Z-00000000"
    run.mkdir(parents=True)
    (run / "report.html").write_text("the report")
    (folder / "runs" / "report.html").write_text("a secret")
    browser = server.browser("admin-1")
    assert "the report" in browser.get(f"/runs/{run.name}/report")
    for name in ("..", "%2e%2e", ".", "..%2f..", f"{run.name}%2f..", "%00", "latest"):
        assert "a secret" not in browser.get(f"/runs/{name}/report")
        assert browser.status in (404, 200 if name == "." else 404), name
    for name in ("..%2f..%2fapp.py", "%2e%2e/app.py", "review.css", "/etc/passwd", "%00"):
        browser.get(f"/static/{name}")
        assert browser.status == 404, name


def test_large_and_odd_bodies_are_refused(server, url) -> None:
    one = item()
    add_items(url, one)
    browser = server.browser("reviewer-1")
    browser.get("/review")
    path, token = f"/review/{one.id}", browser.token
    form = {"content-type": "application/x-www-form-urlencoded"}

    def status(content: bytes, headers=form) -> int:
        return browser.client.post(path, content=content, headers=headers).status_code

    start = f"token={token}&action=approve&".encode()
    assert status(start + b"x=" + b"y" * MOST_BYTES) == 413
    pieces = iter([start + b"x="] + [b"y" * 100_000] * 20)
    assert browser.client.post(path, content=pieces, headers=form).status_code == 413
    assert status(start + b"&".join(b"a%d=" % i for i in range(5_000))) == 400
    assert status(start + b"x=%ff%fe") == 400
    assert status(start + b"x=\xff") == 400
    assert status(b'{"action": "approve"}', {"content-type": "application/json"}) == 415
    assert reviews(url, one) == 0
    browser.say(action="correct", label="person", comment="c" * 5_000)
    assert browser.status == 422
    for identity in ("%00", "a" * 5_000, "..", "'; DROP TABLE reviews; --"):
        browser.get(f"/review/{identity}")
        assert browser.status in (200, 404), identity
    assert browser.client.get("/health").status_code == 200


def test_the_login_form_is_limited_too(server) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    body = b"name=a&password=" + b"x" * MOST_BYTES
    assert httpx.post(server.base + "/login", content=body, headers=form).status_code == 413
    for name in ("\x00", "a\x00", "a" * 10_000, "\u202e"):
        answer = httpx.post(server.base + "/login", data={"name": name, "password": "x" * 500})
        assert answer.status_code == 401
