"""The bundled items are whole, and a user's own are read or refused with their line."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from trimtab.errors import DataError
from trimtab.tune.retention.suite import (
    QUICK,
    SECTIONS,
    Ask,
    Choice,
    Passage,
    load_replay,
    load_suite,
)


def test_the_bundled_suite_has_over_three_hundred_distinct_items() -> None:
    suite = load_suite()
    assert len(suite.items) >= 300
    assert suite.complete
    assert len({item.id for item in suite.items}) == len(suite.items)
    counts = Counter(item.section for item in suite.items)
    assert set(counts) == set(SECTIONS)
    assert min(counts.values()) >= 40
    assert all(
        item.checks.model_dump(exclude_none=True) for item in suite.items if isinstance(item, Ask)
    )


def test_every_choice_has_different_ends() -> None:
    choices = [item for item in load_suite().items if isinstance(item, Choice)]
    assert all(len(set(choice.options)) == len(choice.options) for choice in choices)


def test_the_quick_suite_is_a_third_of_each_section() -> None:
    whole, quick = load_suite(), load_suite(quick=True)
    assert not quick.complete
    assert {item.id for item in quick.items} < {item.id for item in whole.items}
    sizes, fewer = (Counter(item.section for item in each.items) for each in (whole, quick))
    assert fewer == {name: -(-size // QUICK) for name, size in sizes.items()}
    assert quick.sha != whole.sha


def test_asks_come_first_so_that_batches_are_full() -> None:
    later = [not isinstance(item, Ask) for item in load_suite().items]
    assert later == sorted(later)


def test_nothing_that_is_replayed_is_asked() -> None:
    replayed = load_replay()
    assert len(replayed) >= 40
    assert not {item.prompt for item in load_suite().items if isinstance(item, Ask)} & set(replayed)


def test_own_items_join_the_suite_whole(tmp_path) -> None:
    own = tmp_path / "ours.jsonl"
    lines = [
        {"prompt": "Say ours.", "checks": {"contains": ["ours"]}},
        {"text": "We are", "options": ["here", "there"], "section": "places"},
        {"text": "Our own text."},
    ]
    own.write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    suite = load_suite(own, quick=True)
    added = [item for item in suite.items if item.section not in SECTIONS]
    assert [(type(item), item.section) for item in added] == [
        (Ask, "ours"),
        (Choice, "places"),
        (Passage, "ours"),
    ]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "this is no JSON"),
        ("[1]", "this is no JSON object"),
        ('{"prompt": "x"}', "checks: Field required"),
        ('{"prompt": "x", "checks": {"word": [1, 2]}}', "checks.word"),
        ('{"prompt": "x", "checks": {"words": 3}}', "checks.words"),
        ('{"text": "x", "options": ["a"]}', "options"),
        ('{"section": "s"}', "text: Field required"),
    ],
)
def test_a_wrong_item_is_refused_with_its_line(tmp_path, line, problem) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text('{"text": "fine"}\n' + line + "\n")
    with pytest.raises(DataError, match=r"own\.jsonl:2: ") as caught:
        load_suite(own)
    assert problem in str(caught.value)


def test_an_item_that_stands_twice_is_refused(tmp_path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text('{"text": "x"}\n{"text": "x", "section": "other"}\n')
    with pytest.raises(DataError, match="stands twice"):
        load_suite(own)


def test_a_file_that_is_not_there_is_named(tmp_path) -> None:
    with pytest.raises(DataError, match="retention_suite"):
        load_suite(tmp_path / "none.jsonl")
