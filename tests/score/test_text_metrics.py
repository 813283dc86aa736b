"""Patterns, and similarity of text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.errors import DataError, TaskError
from trimtab.score.text import PATTERN_SECONDS, from_contract
from trimtab.task.spec import Scoring
from trimtab.types import OutputContract

TEXT = OutputContract(kind="text")


def pattern(regex, answer, target):
    return from_contract(TEXT, Scoring(pattern=regex))(answer, target).metrics["pattern"]


@pytest.mark.parametrize(
    ("regex", "answer", "target", "expected"),
    [
        (r"^[A-Z]{2}\d{4}$", "AB1234", "CD5678", 1),
        (r"^[A-Z]{2}\d{4}$", "AB123", "CD5678", 0),
        (r"####\s*(.+)$", "so it is 4\n#### 4", "2 + 2 = 4\n#### 4", 1),
        (r"####\s*(.+)$", "#### 5", "#### 4", 0),
        (r"####\s*(.+)$", "#### 4", "4", 1),
        (r"####\s*(.+)$", "the answer is 4", "4", 0),
        (r"answer: (\w+)", "answer: Yes", "yes", 0),
        (r"(?i)answer: (yes|no)", "ANSWER: yes", "yes", 1),
        (r"x(y)?", "x", "x", 1),
        (r"x(y)?", "xy", "x", 0),
    ],
)
def test_known_patterns(regex, answer, target, expected):
    assert pattern(regex, answer, target) == expected


def test_a_pattern_that_backtracks_without_end_is_stopped():
    started = time.monotonic()
    with pytest.raises(DataError, match="without repeats inside repeats"):
        pattern(r"^(?:(?:a|aa)+)+$", "a" * 200 + "!", "a")
    assert time.monotonic() - started < 5 * PATTERN_SECONDS


def chrf(answer, target):
    pytest.importorskip("sacrebleu")
    return from_contract(TEXT, Scoring(chrf=True))(answer, target).metrics["chrf"]


def test_similarity_is_that_of_character_n_grams():
    assert chrf("the cat sat on the mat", "the cat sat on the mat") == pytest.approx(1)
    assert chrf("xyz", "qqqqqq") == 0
    near = chrf("the cat sat on a mat", "the cat sat on the mat")
    far = chrf("a dog ran", "the cat sat on the mat")
    assert 0 < far < near < 1


def test_similarity_takes_a_wrong_answer_for_a_nearly_right_one():
    """Why docs/scoring.md warns of it."""
    wrong = chrf("You may not take two tablets.", "You may take two tablets.")
    assert wrong > 0.7


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
def test_similarity_lies_in_0_to_1(answer, target):
    assert 0 <= chrf(answer, target) <= 1


def test_similarity_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics.chrf", None)
    with pytest.raises(TaskError, match=r"trimtab\[chrf\]"):
        from_contract(TEXT, Scoring(chrf=True))
