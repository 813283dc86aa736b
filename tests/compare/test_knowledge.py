"""What a target says beyond its input, and how well the model does that without being shown."""

from __future__ import annotations

import json

import pytest

from trimtab.compare.knowledge import knowledge, says_more
from trimtab.types import Example, OutputContract

TEXT = OutputContract(kind="text")
JSON = OutputContract(kind="json", schema={"type": "object"})
LABEL = OutputContract(kind="label", labels=("person", "company"))


def row(text: str, target: str, name: str = "1") -> Example:
    return Example(id=name, input=text, target=target)


@pytest.mark.parametrize(
    ("text", "target", "more"),
    [
        ("The capital of France", "Paris", True),
        ("Paris is in France", "paris", False),
        ("in Paris", "Paris France", True),  # one of two words
        ("in Paris, France", "Paris France Europe", False),  # one of three
        ("anything", "...", False),
        ("first of all", "St", True),  # not a word of the input, although letters of one
        ("12 Main St.", "st", False),
        ("\u6211\u4f4f\u5728\u6771\u4eac", "\u6771\u4eac", False),  # Han writes no spaces
        ("\u6211\u4f4f\u5728\u6771\u4eac", "\u5927\u962a", True),
    ],
)
def test_words_of_a_text_by_hand(text, target, more) -> None:
    assert says_more(row(text, target), TEXT) == more


def test_names_of_fields_are_no_words_of_the_answer() -> None:
    target = json.dumps({"street": "Main", "parts": [{"unit": 4}], "zip": None})
    assert not says_more(row("4 Main St", target), JSON)
    assert says_more(row("4 Main St", json.dumps({"city": "Springfield"})), JSON)


def test_shares_and_scores_by_hand() -> None:
    rows = [row("in Paris", "Paris", "a"), row("capital?", "Rome", "b"), row("x?", "Oslo", "c")]
    found = knowledge(rows, TEXT, {"a": 1.0, "b": 1.0, "c": 0.0}, {})
    assert found.beyond_input.estimate == pytest.approx(2 / 3)
    assert found.closed_book.estimate == pytest.approx(2 / 3)
    assert (found.closed_book_beyond.estimate, found.closed_book_beyond.n) == (0.5, 2)


def test_rows_that_were_not_asked_count_in_the_share_only() -> None:
    rows = [row("in Paris", "Paris", "a"), row("capital?", "Rome", "b")]
    found = knowledge(rows, TEXT, {"a": 1.0}, {})
    assert found.beyond_input.n == 2
    assert found.closed_book.n == 1
    assert found.closed_book_beyond is None


def test_labels_are_chosen_and_not_read_off() -> None:
    found = knowledge([row("Ann", "person", "a")], LABEL, {"a": 1.0}, {})
    assert found.beyond_input is None
    assert found.closed_book.estimate == 1.0
    assert found.closed_book_beyond is None


def test_nothing_asked_is_unknown() -> None:
    found = knowledge([row("in Paris", "Paris")], TEXT, {}, {})
    assert found.closed_book is None
