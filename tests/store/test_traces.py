"""Traces and feedback come back as they were written, in order, until they are too old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from trimtab.store.database import Database
from trimtab.store.traces import (
    Feedback,
    Trace,
    add_feedback,
    add_traces,
    get_trace,
    new_id,
    prune,
    read_feedback,
    read_traces,
)

START = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def database(database_url):
    opened = Database(database_url)
    yield opened
    opened.close()


def trace(minute: float = 0, text: str = "in", **changes: object) -> Trace:
    moment = START + timedelta(minutes=minute)
    return Trace(
        **{  # type: ignore[arg-type]
            "id": new_id(moment.timestamp()),
            "task": "t",
            "time": moment,
            "role": "champion",
            "variant": "v",
            "run": "r",
            "deployment": 3,
            "input": text,
            "output": "out",
            "valid": True,
            "latency_s": 0.25,
        }
        | changes
    )


@pytest.mark.parametrize(
    "text", ["plain", "né\u0000 \u2028 '\"\\ %s ? 😀", "\r\n\t", "x" * 100_000]
)
def test_a_trace_comes_back_as_it_was(database, text) -> None:
    written = trace(text=text, output=text, role="shadow", of="other", problem=text, weight=2.5)
    add_traces(database, [written])
    assert get_trace(database, "t", written.id) == written
    assert get_trace(database, "another", written.id) is None


def test_traces_are_read_in_order_and_in_pages(database, monkeypatch) -> None:
    monkeypatch.setattr("trimtab.store.traces._PAGE", 7)
    written = [trace(minute) for minute in range(30)]
    add_traces(database, [*reversed(written), trace(5, task="another")])
    assert list(read_traces(database, "t")) == written
    since, until = START + timedelta(minutes=10), START + timedelta(minutes=20)
    assert list(read_traces(database, "t", since, until)) == written[10:20]
    assert list(read_traces(database, "nothing")) == []


def test_a_batch_is_written_whole_or_not_at_all(database) -> None:
    with pytest.raises(AttributeError):
        add_traces(database, [trace(), None])  # type: ignore[list-item]
    assert list(read_traces(database, "t")) == []


def test_ids_sort_by_time_and_never_repeat() -> None:
    ids = [new_id(START.timestamp() + i) for i in range(1000)]
    assert sorted(ids) == ids
    assert len({new_id(START.timestamp()) for _ in range(1000)}) == 1000


def test_old_traces_go_with_their_feedback_and_no_others(database) -> None:
    written = [trace(minute) for minute in range(10)]
    add_traces(database, written)
    kept_apart = trace(0, task="another")
    add_traces(database, [kept_apart])
    for each in written:
        add_feedback(database, feedback(each))
    limit = START + timedelta(minutes=6)
    assert prune(database, "t", limit, most=4) == 4
    assert prune(database, "t", limit, most=4) == 2
    assert prune(database, "t", limit, most=4) == 0
    assert list(read_traces(database, "t")) == written[6:]
    assert read_feedback(database, "t", written[5].id) == []
    assert read_feedback(database, "t", written[6].id) != []
    assert get_trace(database, "another", kept_apart.id) == kept_apart


def feedback(about: Trace, **changes: object) -> Feedback:
    moment = START + timedelta(days=1)
    fields = {"id": new_id(), "trace": about.id, "task": "t", "time": moment, "rating": "down"}
    return Feedback(**fields | changes)  # type: ignore[arg-type]


def test_feedback_adds_up(database) -> None:
    about = trace()
    said = [feedback(about), feedback(about, correction="né\u0000", comment="c", rating=None)]
    for each in said:
        add_feedback(database, each)
    assert sorted(read_feedback(database, "t", about.id), key=lambda f: f.rating is None) == said
