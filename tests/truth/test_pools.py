"""Rows of a pool are in one part only."""

import pytest
from benchmarks.truth import pools

from trimtab.errors import DataError
from trimtab.types import Example

from .factories import TASK


def rows(count):
    return [
        Example(id=f"id{i}", input=f"{i * 7919} is a number of its own {i}", target="yes")
        for i in range(count)
    ]


def test_the_parts_share_no_row_and_no_near_duplicate(monkeypatch):
    monkeypatch.setattr(pools, "SIZES", (20,))
    given = rows(400)
    copies = [
        each.model_copy(update={"id": f"copy{each.id}", "input": each.input.upper()})
        for each in given[:50]
    ]
    found = pools.part(TASK, [*given, *copies])
    assert (len(found.rows), len(found.rate_rows)) == (pools.POOL_ROWS, pools.RATE_ROWS)
    held = {row.input.casefold() for row in [*found.rows, *found.rate_rows]}
    assert len(held) == pools.POOL_ROWS + pools.RATE_ROWS
    for training in found.training:
        assert len(training) == 20
        assert held.isdisjoint(row.input.casefold() for row in training)
    assert found.training[0] != found.training[1]


def test_the_order_of_the_file_changes_nothing(monkeypatch):
    monkeypatch.setattr(pools, "SIZES", (20,))
    assert pools.part(TASK, rows(400)) == pools.part(TASK, rows(400)[::-1])


def test_too_few_rows_are_refused():
    with pytest.raises(DataError, match="too few"):
        pools.part(TASK, rows(400))


def test_dates_are_read_and_intervals_left_out(monkeypatch):
    corpus = [
        ("Time[]{2017-07-19 19:00 (X/X)}", "2017-07-11T20:21", ["19.7. 19 Uhr", "19.7. 19 Uhr"]),
        ("Time[]{2017-08-16 X:X (X/evening)}", "2017-08-16T14:01", ["heute abend"]),
        (
            "Interval[]{2017-05-01 X:X (X/X) - 2017-05-02 X:X (X/X)}",
            "2017-04-16T14:01",
            ["1.-2.5."],
        ),
    ]
    module = f"import os\n\ncorpus = {corpus}\n"
    monkeypatch.setattr(pools, "CORPORA", ("corpus.py",))
    monkeypatch.setattr(pools, "_member", lambda package, name: module.encode())
    assert list(pools.date_rows()) == [
        {
            "input": "19.7. 19 Uhr (today: Tue 2017-07-11)",
            "output": {"date": "2017-07-19", "time": "19:00"},
        },
        {
            "input": "heute abend (today: Wed 2017-08-16)",
            "output": {"date": "2017-08-16", "part_of_day": "evening"},
        },
    ]


def test_definitions_are_read_with_their_kind(monkeypatch):
    lines = [
        "  1 This software is licensed",
        "02084071 05 n 02 dog 0 001 @ 02083346 n 0000 | a member of the genus Canis; "
        '"the dog barked all night"',
        "00001740 03 n 01 entity 0 000 | that which is perceived to have its own existence",
    ]
    monkeypatch.setattr(pools, "_member", lambda package, name: "\n".join(lines).encode())
    assert list(pools.gloss_rows()) == [
        {"input": "a member of the genus Canis", "output": "animal"}
    ]


def test_a_module_without_its_corpus_is_refused(monkeypatch):
    monkeypatch.setattr(pools, "_member", lambda package, name: b"corpora = []")
    with pytest.raises(DataError, match="without its corpus"):
        list(pools.date_rows())
