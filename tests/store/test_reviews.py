"""The queue on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from review.pages import item
from trimtab.store.database import Database
from trimtab.store.reviews import (
    Batch,
    Outcome,
    Review,
    add_batch,
    add_review,
    count_states,
    count_waiting,
    expire,
    get_item,
    items_in,
    judged_since,
    last_review,
    open_requests,
    outcomes,
    request_items,
    reviewed_calls,
    reviews_of,
    settle,
    waiting_items,
    withdraw,
)
from trimtab.store.traces import new_id
from trimtab.store.trail import note, trail

NOW = datetime.now(UTC)


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


def batch(number: int, until: str = "x") -> Batch:
    return Batch(
        task="names", number=number, time=NOW, source="trace", until=until, frame=9, drawn=3
    )


def said(which, by: str, action: str, minute: int = 0) -> Review:
    return Review(
        id=new_id(),
        task="names",
        item=which.id,
        reviewer=by,
        time=NOW + timedelta(minutes=minute),
        action=action,
        target="person" if action == "approve" else None,
    )


def test_items_come_by_batch_and_place_and_skipped_ones_last(database) -> None:
    items = [item(place=place, batch=1) for place in (0.9, 0.1, 0.5)]
    later = item(place=0.0, batch=2)
    assert add_batch(database, batch(1), items)
    assert add_batch(database, batch(2), [later])
    order = [items[1], items[2], items[0], later]
    assert waiting_items(database, "names", "r") == order
    add_review(database, said(items[1], "r", "skip"))
    add_review(database, said(items[2], "r", "unknown"))
    assert waiting_items(database, "names", "r") == [items[0], later, items[1]]
    assert waiting_items(database, "names", "other") == order
    assert waiting_items(database, "another task", "r") == []


def test_only_one_of_two_draws_at_a_time_is_kept(database) -> None:
    assert add_batch(database, batch(1), [item()])
    assert not add_batch(database, batch(1), [item()])
    assert count_states(database, "names") == {("trace", "open"): 1}


def test_an_origin_is_drawn_once(database) -> None:
    first = item(origin="same")
    add_batch(database, batch(1), [first])
    add_batch(database, batch(2), [item(origin="same", probability=1.0)])
    assert [found for found, _ in items_in(database, "names")] == [first]


def test_reviewed_calls_have_scores_and_chances(database) -> None:
    drawn, row, undecided = item(probability=0.25), item(source="row"), item()
    add_batch(database, batch(1), [drawn, row, undecided])
    outcome = Outcome(action="approve", target="person", by=("r",), time=NOW)
    settle(database, drawn.id, "done", outcome, 1.0)
    settle(database, row.id, "done", outcome, 1.0)
    (found,) = reviewed_calls(database, "names")
    assert (found.trace, found.score, found.probability, found.batch) == (
        drawn.origin, 1.0, 0.25, 1,
    )  # fmt: skip
    assert abs(found.settled - NOW) < timedelta(milliseconds=1)
    assert [each.id for each, _ in outcomes(database, "names")] == sorted([drawn.id, row.id])
    settle(database, drawn.id, "open", None, None)
    assert reviewed_calls(database, "names") == []


def test_reviews_are_withdrawn_and_never_gone(database) -> None:
    one = item()
    add_batch(database, batch(1), [one])
    first, second = said(one, "r", "skip"), said(one, "r", "approve", 1)
    add_review(database, first)
    add_review(database, second)
    assert last_review(database, "names", "r") == second
    assert judged_since(database, "names", "r", NOW - timedelta(hours=1)) == 1
    withdraw(database, second.id)
    assert reviews_of(database, one.id) == [first]
    assert database.query("SELECT COUNT(*) FROM reviews") in ([(2,)], [[2]])


def test_requests_wait_until_a_draw_meets_them(database) -> None:
    request = request_items(database, "names", 200, "trimtab watch", "inputs drift")
    assert open_requests(database, "names") == [request]
    assert open_requests(database, "other") == []
    other = request_items(database, "names", 10, "reviewer-1", "a look at more")
    add_batch(database, batch(1), [item()], [request, other], 150)
    assert [each.items for each in open_requests(database, "names")] == [50, 10]
    add_batch(database, batch(2), [item()], open_requests(database, "names"), 55)
    assert open_requests(database, "names") == [other.model_copy(update={"items": 5})]
    add_batch(database, batch(3), [item()], open_requests(database, "names"), 5)
    assert open_requests(database, "names") == []


def test_items_that_somebody_looked_at_do_not_wait(database) -> None:
    items = [item(needed=2), item(), item(), item(source="row")]
    add_batch(database, batch(1), items)
    for one, action in zip(items, ("approve", "unknown"), strict=False):
        add_review(database, said(one, "r", action))
    assert count_waiting(database, "names", "trace") == 1
    assert count_waiting(database, "names", "row") == 1
    (unknown,) = reviews_of(database, items[1].id)
    withdraw(database, unknown.id)
    assert count_waiting(database, "names", "trace") == 2


def test_drawn_calls_that_are_open_go_with_their_traces(database) -> None:
    old = (NOW - timedelta(days=100)).timestamp()
    items = [item(origin=new_id(old)), item(origin=new_id(old)), item(origin=new_id())]
    settled = item(origin=new_id(old))
    add_batch(database, batch(1), [*items, settled])
    outcome = Outcome(action="approve", target="person", by=("r",), time=NOW)
    settle(database, settled.id, "done", outcome, 1.0)
    add_review(database, said(items[1], "r", "skip"))
    expire(database, "names", NOW - timedelta(days=90))
    assert [get_item(database, "names", each.id) is None for each in items] == [True, True, False]
    assert get_item(database, "names", settled.id) == (settled, "done")


def test_the_trail_keeps_its_order(database) -> None:
    for number in range(3):
        note(database, "names", "r", "did", str(number))
    note(database, "other", "r", "did")
    assert [step.detail for step in trail(database, "names", last=2)] == ["2", "1"]
