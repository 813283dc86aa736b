"""What is drawn from calls and rows, why, and at which chance."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

import pytest

from decisions import write_rows, write_task
from trimtab.review.book import Book
from trimtab.review.fill import Filler
from trimtab.review.settings import ReviewSettings
from trimtab.serve.settings import ServeSettings
from trimtab.store.database import Database
from trimtab.store.reviews import (
    Outcome,
    items_in,
    last_batch,
    open_requests,
    request_items,
    settle,
    waiting_items,
)
from trimtab.store.traces import Feedback, Trace, add_feedback, add_traces, new_id
from trimtab.task.load import load_task
from trimtab.task.open import open_task

NOW = datetime.now(UTC)
EARLIER = NOW - timedelta(minutes=30)


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


def filler(folder, **settings) -> Filler:
    fields = {"rows": 0} | settings
    return Filler(open_task(folder), ReviewSettings(**fields), ServeSettings(), random.Random(0))


def trace(number: int, output: str | None = "person", **more) -> Trace:
    when = EARLIER + timedelta(seconds=number)
    fields = {
        "id": new_id(when.timestamp()),
        "task": "names",
        "time": when,
        "role": "champion",
        "variant": "v1",
        "run": "r1",
        "deployment": 1,
        "input": f"Anna {number:03d} Brown",
        "output": output,
        "valid": output in ("person", "company"),
        "latency_s": 0.1,
    } | more
    return Trace(**fields)


def drawn(database, source="trace"):
    return [found for found, _ in items_in(database, "names") if found.source == source]


def test_every_call_has_its_chance_and_a_reason_more_of_it(folder, database) -> None:
    calls = [trace(i, "robot" if i < 5 else "person") for i in range(400)]
    add_traces(database, calls)
    filler(folder, batch=40).fill(database)
    found = drawn(database)
    broken = [each for each in found if each.reason == "invalid"]
    assert len(broken) == 5, "all of the few that break the contract"
    assert {each.probability for each in broken} == {1.0}
    assert all(each.problem or each.reasons for each in broken)
    plain = [each for each in found if each.reason == "random"]
    assert plain
    assert max(each.probability for each in plain) < 0.2
    assert last_batch(database, "names").frame == 400


def test_no_call_is_in_two_draws(folder, database) -> None:
    settings = {"batch": 1000}
    add_traces(database, [trace(i) for i in range(20)])
    assert filler(folder, **settings).fill(database) == 20
    assert filler(folder, **settings).fill(database) == 0
    add_traces(database, [trace(i) for i in range(100, 110)])
    assert filler(folder, **settings).fill(database) == 10
    assert [each.batch for each in drawn(database)] == [1] * 20 + [2] * 10


def test_calls_that_may_still_be_under_way_wait(folder, database) -> None:
    add_traces(database, [trace(0), trace(1, time=NOW, id=new_id(NOW.timestamp()))])
    assert filler(folder, batch=100).fill(database, NOW) == 1
    assert filler(folder, batch=100).fill(database, NOW + timedelta(minutes=3)) == 1


def test_a_full_queue_draws_nothing_until_half_is_settled(folder, database) -> None:
    add_traces(database, [trace(i) for i in range(30)])
    work = filler(folder, batch=30, random_share=1)
    work.fill(database)
    add_traces(database, [trace(i) for i in range(100, 120)])
    assert work.fill(database) == 0
    outcome = Outcome(action="approve", target="person", by=("r",), time=NOW)
    for each in drawn(database)[:20]:
        settle(database, each.id, "done", outcome, 1.0)
    assert work.fill(database) > 0


def test_an_alarm_draws_more_at_random_even_from_a_full_queue(folder, database) -> None:
    add_traces(database, [trace(i) for i in range(30)])
    work = filler(folder, batch=30)
    work.fill(database)
    add_traces(database, [trace(i) for i in range(100, 300)])
    request_items(database, "names", 150, "trimtab watch", "inputs drift")
    assert 100 < work.fill(database) < 200
    assert open_requests(database, "names") == []
    add_traces(database, [trace(i) for i in range(400, 500)])
    assert work.fill(database) == 0, "it is met once"


def still_asked(database) -> int:
    """Two requests of one millisecond have no order, and either may be met first."""
    return sum(request.items for request in open_requests(database, "names"))


def test_what_the_calls_are_too_few_for_stays_asked_for(folder, database) -> None:
    add_traces(database, [trace(i) for i in range(30)])
    work = filler(folder, batch=30)
    work.fill(database)
    request_items(database, "names", 50, "trimtab watch", "inputs drift")
    request_items(database, "names", 10, "reviewer-1", "a look at more")
    add_traces(database, [trace(i) for i in range(100, 103)])
    assert work.fill(database) == 0, "nobody waits for these few"
    add_traces(database, [trace(i) for i in range(110, 130)])
    assert work.fill(database) == 23, "all of them"
    assert still_asked(database) == 50 + 10 - 23
    add_traces(database, [trace(i) for i in range(200, 230)])
    assert work.fill(database) == 30
    assert still_asked(database) == 37 - 30
    add_traces(database, [trace(i) for i in range(300, 400)])
    assert work.fill(database) < 20
    assert open_requests(database, "names") == []


def test_what_reviewers_cannot_judge_does_not_stop_the_draws(folder, database) -> None:
    """One reviewer, who does not know; and items that wait for a second one."""
    add_traces(database, [trace(i) for i in range(30)])
    work = filler(folder, batch=30, random_share=1, second_reviewer=0.5)
    work.fill(database)
    book = Book(load_task(folder), folder)
    for each in drawn(database):
        action = "approve" if each.needed == 2 else "unknown"
        assert book.take(database, "reviewer-1", each.id, action) == "open"
    add_traces(database, [trace(i) for i in range(100, 130)])
    assert work.fill(database) > 0
    assert waiting_items(database, "names", "reviewer-1"), "there is work again"
    work.fill(database, NOW + timedelta(days=91))
    assert drawn(database) == [], "texts go with their traces"


def test_shadows_and_users_speak_for_a_look(folder, database) -> None:
    one, two, three = trace(0), trace(1), trace(2)
    shadows = [trace(0, "company", role="shadow", of=one.id), trace(1, role="shadow", of=two.id)]
    add_traces(database, [one, two, three, trace(3, None), *shadows])
    said = Feedback(
        id=new_id(), trace=three.id, task="names", time=NOW, rating="down", correction="company"
    )
    add_feedback(database, said)
    filler(folder, batch=100).fill(database)
    found = {each.origin: each for each in drawn(database)}
    assert set(found) == {one.id, two.id, three.id}, "no shadow, and no call without an answer"
    assert (found[one.id].reason, found[one.id].others) == ("disagreement", ("company",))
    assert found[two.id].reason == "random"
    assert (found[three.id].reason, found[three.id].others) == ("feedback", ("company",))


def test_calls_that_stand_for_others_have_their_part_in_the_chance(folder, database) -> None:
    add_traces(database, [trace(0, weight=4.0), trace(1, "robot")])
    filler(folder, batch=100).fill(database)
    assert sorted(each.probability for each in drawn(database)) == [0.25, 1.0]


def test_what_was_masked_is_known_of_an_item(folder, database) -> None:
    add_traces(database, [trace(0, redacted=True), trace(1)])
    filler(folder, batch=100).fill(database)
    assert sorted(each.redacted for each in drawn(database)) == [False, True]


def test_uncovered_and_unlikely_calls_are_found(folder, database) -> None:
    calls = [trace(i, input=f"Mary {i:03d} Fox") for i in range(60)]
    odd = trace(61, "company", input="zzkq qqwx 7788 @@ vvlm")
    wrong = trace(62, "company", input="Ruth 962 Brown")
    add_traces(database, [*calls, odd, wrong])
    filler(folder, batch=1000).fill(database)
    found = {each.origin: each for each in drawn(database)}
    assert "uncovered" in found[odd.id].reasons
    assert "unlikely" in found[wrong.id].reasons


def test_labelled_rows_come_without_those_of_the_test(tmp_path, database) -> None:
    folder = write_task(tmp_path / "rows")
    opened = open_task(folder)
    wrong = opened.split.train[0]
    flipped = "company" if wrong.target == "person" else "person"
    write_rows(
        folder / "rows.jsonl",
        [
            {"input": r.input, "output": flipped if r.id == wrong.id else r.target}
            for r in opened.examples
        ],
    )
    filler(folder, rows=1000).fill(database)
    found = drawn(database, "row")
    opened = open_task(folder)
    assert {each.origin for each in found}.isdisjoint(opened.split.test.ids)
    assert len(found) == len(opened.split.train) + len(opened.split.dev)
    suspects = {each.input for each in found if each.reason == "suspected"}
    if wrong.input in {row.input for row in (*opened.split.train, *opened.split.dev)}:
        assert wrong.input in suspects
    assert filler(folder, rows=1000).fill(database) == 0, "each row once"
