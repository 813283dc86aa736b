from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.review.diff import MOST_TOKENS, changes

TEXT = st.text(alphabet="ab \n.", max_size=60)


@given(TEXT, TEXT)
def test_the_pieces_are_both_texts(before, after) -> None:
    pieces = changes(before, after)
    assert "".join(p.text for p in pieces if p.kind != "new") == before
    assert "".join(p.text for p in pieces if p.kind != "gone") == after


def test_only_what_changed_is_marked() -> None:
    found = [(p.kind, p.text) for p in changes("the cat sat down", "the dog sat down")]
    assert found == [("same", "the "), ("gone", "cat"), ("new", "dog"), ("same", " sat down")]


def test_long_texts_are_compared_in_no_time() -> None:
    before = "x " + "a b " * MOST_TOKENS + "end"
    after = "y " + "b a " * MOST_TOKENS + "end"
    pieces = changes(before, after)
    assert [p.kind for p in pieces][:2] == ["gone", "new"]
    assert pieces[-1].text.endswith("end")
