"""Guesses are what followed the latest, longest agreement."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from trimtab.engine.local.lookup import Lookup

TOKENS = st.lists(st.integers(0, 3), max_size=40)


def lookup(*parts: list[int]) -> Lookup:
    found = Lookup()
    for part in parts:
        found.extend(part)
    return found


def test_the_longest_agreement_counts() -> None:
    text = lookup([1, 2, 3, 4, 9, 3, 7])
    assert text.guess([2, 3], 2) == ([4, 9], 2)
    assert text.guess([8, 3], 1) == ([7], 1)


def test_the_latest_of_equal_agreements_counts() -> None:
    assert lookup([1, 2, 5], [1, 2, 6]).guess([1, 2], 1) == ([6], 2)


def test_unseen_ends_give_no_guess() -> None:
    assert lookup([1, 2]).guess([7], 3) == ([], 0)
    assert lookup([1, 2]).guess([2], 3) == ([], 0)  # nothing followed yet
    assert lookup().guess([], 3) == ([], 0)


@given(TOKENS, TOKENS, st.integers(0, 5))
def test_a_guess_follows_its_agreement_in_the_text(text, recent, most) -> None:
    guessed, agree = lookup(text).guess(recent, most)
    assert len(guessed) <= most
    if agree:
        joined = recent[-agree:] + guessed
        assert joined in [text[i : i + len(joined)] for i in range(len(text))]


@given(TOKENS, TOKENS)
def test_text_may_come_in_parts(first, second) -> None:
    whole, parts = lookup(first + second), lookup(first, second)
    assert len(whole) == len(parts)
    assert [whole.guess([a, b], 3) for a in range(4) for b in range(4)] == [
        parts.guess([a, b], 3) for a in range(4) for b in range(4)
    ]
