"""The pages as a reviewer without scripts uses them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from decisions import write_task
from report.pages import Page
from serve.servers import decided_task
from trimtab.store import deployments
from trimtab.store.database import Database
from trimtab.store.deployments import Deployed, current
from trimtab.store.reviews import reviews_of
from trimtab.store.rollouts import Rollout, keep_rollout
from trimtab.store.traces import new_id
from trimtab.store.trail import trail
from trimtab.store.watching import Alarm, open_alarm
from trimtab.task.reviewed import read_reviewed

from .pages import ADDRESS, add_items, add_people, item, reviewing


def check(page: str) -> Page:
    """A whole page: tags balance, ids are unique, and every field has a name."""
    found = Page(page)
    assert found.problems == []
    assert len(found.ids) == len(set(found.ids))
    fors = {value for tag, name, value in found.attributes if (tag, name) == ("label", "for")}
    assert fors <= set(found.ids)
    return found


def steps(url) -> list[str]:
    database = Database(url)
    found = [step.what for step in trail(database, "names")]
    database.close()
    return found


def test_a_label_is_approved_corrected_rejected_and_taken_back(server, folder, url) -> None:
    add_items(url, *(item(f"name {i}", place=i / 10) for i in range(4)))
    browser = server.browser("reviewer-1")
    page = check(browser.get("/review"))
    assert "name 0" in page.text
    assert "0 of 4 settled" in page.text
    assert "Approved." in browser.say(action="approve")
    assert "name 1" in browser.page
    browser.say(**{"pick-label": "company", "comment": "a firm"})
    assert "Rejected." in browser.say(action="reject")
    assert "name 3" in browser.page
    assert "3 of 4 settled" in check(browser.page).text
    browser.say(action="skip")
    assert "name 3" in browser.page, "it comes back at the end"
    browser.say(action="unknown")
    assert "Nothing left for you" in browser.page
    assert "Taken back" in browser.post("/undo", {})
    assert "name 3" in browser.page
    rows = [(line.input, line.action, line.output) for line, _ in read_reviewed(folder)]
    assert rows == [
        ("name 0", "approve", "person"),
        ("name 1", "correct", "company"),
        ("name 2", "reject", None),
    ]
    assert steps(url)[:2] == ["undid", "reviewed"]


def test_a_review_over_a_lost_connection_is_kept(server, url) -> None:
    """As after a restart of the database, which no reviewer should notice."""
    one = item()
    add_items(url, one)
    browser = server.browser("reviewer-1")
    browser.get("/review")
    server.server._shared._database._backend.close()
    assert "Approved." in browser.say(action="approve")
    database = Database(url)
    assert [review.action for review in reviews_of(database, one.id)] == ["approve"]
    database.close()


def test_two_reviewers_get_different_items(server, url) -> None:
    add_items(url, *(item(f"name {i}", place=i / 10) for i in range(3)))
    one, two = server.browser("reviewer-1"), server.browser("reviewer-2")
    one.get("/review")
    two.get("/review")
    assert one.item != two.item
    mine = one.item
    one.get("/review")
    assert one.item == mine, "a reload keeps it"


def test_both_reviews_and_the_decision_between_them(server, folder, url) -> None:
    add_items(url, item("Field and Sons", "person", needed=2))
    one, two, three = (server.browser(name) for name in ("reviewer-1", "reviewer-2", "admin-1"))
    one.get("/review")
    one.say(action="approve")
    two.get("/review")
    assert "What both reviewers said" not in two.page, "unseen by each other"
    two.say(**{"pick-label": "company"})
    assert "you are one of the two" in two.get("/torn")
    three.get("/torn")
    identity = three.page.split('href="/review/')[1].split('"')[0]
    page = check(three.get(f"/review/{identity}"))
    assert "Decide between two reviews" in page.text
    assert "reviewer-1" not in three.page
    taken = [value for tag, name, value in page.attributes if (tag, name) == ("button", "value")]
    reviews = [value for value in taken if len(value) == 28]
    assert len(reviews) == 2
    three.say(**{"pick-review": reviews[1]})
    assert "Nothing is waiting" in three.page
    ((line, _),) = read_reviewed(folder)
    assert (line.output, line.approved_by) == ("company", "admin-1")
    home = check(three.get("/")).text
    assert "two reviewers agree on 0 of 1" in home


@pytest.fixture
def json_server(tmp_path, url):
    folder = write_task(tmp_path / "json", output=ADDRESS, metric="field_f1")
    add_people(url, "reviewer-1")
    with reviewing(folder, url) as started:
        started.folder = folder
        yield started


def answer_of(folder) -> dict:
    return json.loads(read_reviewed(folder)[-1][0].output)


def test_json_is_a_form_of_its_fields(json_server, url) -> None:
    folder = json_server.folder
    answer = '{"city":"Austin","floor":3}'
    other = '{"city":"Dallas","floor":3}'
    items = [item(f"address {i}", answer, place=i / 10, others=(other,)) for i in range(3)]
    add_items(url, *items)
    browser = json_server.browser("reviewer-1")
    page = check(browser.get("/review"))
    names = {value for tag, name, value in page.attributes if name == "name"}
    assert {"field:city", "field:floor", "field:geo/lat", "field:lift"} <= names
    sent = {"field:city": "Austin", "field:floor": "three", "action": "correct"}
    browser.say(**sent)
    assert browser.status == 422
    again = check(browser.page)
    assert "not a whole number" in again.text
    assert ("input", "value", "three") in again.attributes, "nothing typed is lost"
    browser.say(**{"field:city": "Houston", "field:floor": "3", "action": "approve"})
    assert (browser.status, "you changed the answer" in browser.page.lower()) == (422, True)
    browser.say(**{"field:city": "Houston", "field:floor": "3", "action": "correct"})
    assert answer_of(folder) == {"city": "Houston", "floor": 3}
    browser.say(**{"field:city": "Austin", "field:floor": "3", "action": "approve"})
    assert answer_of(folder) == {"city": "Austin", "floor": 3}
    browser.say(**{"pick-other": "0"})
    assert answer_of(folder) == json.loads(other)


def test_a_broken_answer_cannot_be_approved_but_corrected(json_server, url) -> None:
    add_items(url, item("address", "Austin it is", problem="not JSON", reason="invalid"))
    browser = json_server.browser("reviewer-1")
    page = check(browser.get("/review"))
    assert "Austin it is" in page.text
    assert "approve" not in {v for tag, name, v in page.attributes if tag == "button"}
    browser.say(action="approve")
    assert browser.status == 422
    browser.say(**{"field:city": "Austin", "action": "correct"})
    assert answer_of(json_server.folder) == {"city": "Austin"}


def test_a_text_is_edited_with_its_changes_shown(tmp_path, url) -> None:
    folder = write_task(tmp_path / "text", output={"kind": "text"}, metric="exact")
    add_people(url, "reviewer-1")
    add_items(url, item("say it", "first line\r\nsecond line"))
    with reviewing(folder, url) as server:
        browser = server.browser("reviewer-1")
        check(browser.get("/review"))
        page = browser.say(text="first line\r\nthird line", action="preview")
        assert "<del>" in page
        assert "third</ins>" in page
        browser.say(text="first line\r\nsecond line", action="approve")
    ((line, _),) = read_reviewed(folder)
    assert (line.action, line.output) == ("approve", "first line\r\nsecond line")


def test_an_item_that_someone_else_settled_is_told_kindly(server, url) -> None:
    add_items(url, item())
    one, two = server.browser("reviewer-1"), server.browser("reviewer-2")
    one.get("/review")
    two.get("/review")
    one.say(action="approve")
    two.say(action="approve")
    assert (two.status, "someone else has just" in two.page.lower()) == (422, True)
    assert check(two.get("/review")).text.count("Nothing left") == 1


def test_the_home_page_of_a_task_without_anything(server, url) -> None:
    page = check(server.browser("reviewer-1").get("/"))
    for text in ("nothing", "not known", "No run is finished", "Nothing was promoted yet"):
        assert text in page.text


def test_promote_report_and_roll_back(tmp_path, url, monkeypatch) -> None:
    folder = tmp_path / "decided"
    decision = decided_task(folder)
    add_people(url, "reviewer-1", "admin-1")
    with reviewing(folder, url) as server:
        plain, admin = server.browser("reviewer-1"), server.browser("admin-1")
        assert "/promote" not in plain.get("/")
        check(admin.get("/"))
        admin.post("/promote", {"run": decision.run, "reason": ""})
        assert admin.status == 422
        for _ in range(2):
            admin.get("/")
            admin.post("/promote", {"run": decision.run, "reason": "it won"})
        assert "Promoted." in admin.page
        database = Database(url)
        change = current(database, "names")
        assert (change.who, change.why, change.number) == ("admin-1", "it won", 2)
        assert change.state.champion.run == decision.run
        check(admin.page)
        assert "Rolled back" in admin.post("/rollback", {"reason": "worse"})
        assert current(database, "names").origin == 1
        database.close()
        answer = admin.client.get(f"/runs/{decision.run}/report")
        assert answer.status_code == 200
        assert "sandbox" in answer.headers["content-security-policy"]
    assert {"promoted", "rolled back"} <= set(steps(url))


def test_all_that_serves_is_shown_with_the_champions_own_date(server, url, monkeypatch) -> None:
    database = Database(url)
    old = datetime(2026, 1, 31, tzinfo=UTC)
    with monkeypatch.context() as patch:
        patch.setattr(deployments.time, "time", old.timestamp)
        first = Deployed(run="r1", variant="v", name="a prompt")
        deployments.promote(database, "names", first, "champion", 0, "admin-1", "the first")
    canary = Deployed(run="r2", variant="w", name="a tune")
    deployments.promote(database, "names", canary, "canary", 0.2, "admin-1", "try it")
    shadow = Deployed(run="r3", variant="x", name="another prompt")
    change = deployments.promote(database, "names", shadow, "shadow", 0, "admin-1", "look")
    rollout = Rollout(
        task="names", number=change.number, deployed=shadow, who="admin-1", why="look",
        stage="shadow", since=change.time,
    )  # fmt: skip
    keep_rollout(database, rollout)
    database.close()
    text = " ".join(check(server.browser("reviewer-1").get("/")).text.split())
    assert "a prompt of run r1, since 2026-01-31" in text
    assert "canary with 20 % of the calls: a tune of run r2" in text
    assert "shadow: another prompt of run r3; trimtab watch promotes it by stages" in text


def test_a_reviewer_is_told_what_was_masked(server, url) -> None:
    add_items(url, item(), item("[redacted]", redacted=True, place=0.9))
    browser = server.browser("reviewer-1")
    assert "masked" not in browser.get("/review")
    assert "Something was masked" in browser.say(action="approve")


def test_an_alarm_is_shown_and_closed_with_a_reason(server, url) -> None:
    database = Database(url)
    alarm = Alarm(
        id=new_id(),
        task="names",
        kind="input-drift",
        opened=datetime.now(UTC),
        deployment=1,
        message="inputs <b>differ</b>",
    )
    open_alarm(database, alarm)
    database.close()
    admin = server.browser("admin-1")
    page = check(admin.get("/"))
    assert "inputs <b>differ</b>" in page.text
    admin.post("/alarm", {"alarm": alarm.id, "reason": "a holiday"})
    assert "The alarm is closed." in admin.page
    assert "differ" not in admin.page


def test_guidelines_stand_beside_the_item(folder, url) -> None:
    (folder / "guide.md").write_text("# Firms\n- shops\n- schools\n\nAsk <i>us</i>.", "utf-8")
    add_people(url, "reviewer-1")
    add_items(url, item())
    with reviewing(folder, url, guidelines="guide.md") as server:
        page = server.browser("reviewer-1").get("/review")
    assert "<h3>Firms</h3>" in page
    assert "<li>schools</li>" in page
    assert "Ask &lt;i&gt;us&lt;/i&gt;." in page


def test_comments_are_kept(server, url) -> None:
    one = item()
    add_items(url, one)
    browser = server.browser("reviewer-1")
    browser.get("/review")
    browser.say(action="reject", comment="both <i> at once")
    database = Database(url)
    assert [review.comment for review in reviews_of(database, one.id)] == ["both <i> at once"]
    database.close()
