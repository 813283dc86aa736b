"""People's grades: read with their faults named, and the ones that come with Trimtab."""

import json
from collections import Counter

import pytest

from trimtab.errors import DataError
from trimtab.score.reviews import BUNDLED_GRADES, bundled_reviews, graded_reviews, read_reviews

from .judges import judge, shown

GOOD = {"input": "q", "target": "t", "answer": "a", "score": 3}


def write(path, *lines):
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def test_reviews_are_read_and_blank_lines_passed_over(tmp_path):
    file = write(tmp_path / "r.jsonl", json.dumps(GOOD), "", json.dumps(GOOD | {"target": ""}))
    assert [review.score for review in read_reviews(file, 5)] == [3, 3]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "JSON"),
        (json.dumps(GOOD | {"score": 6}), "above the 5 grades"),
        (json.dumps(GOOD | {"score": 0}), "score: "),
        (json.dumps(GOOD | {"score": 2.5}), "score: "),
        (json.dumps({"input": "q", "score": 1}), "answer: "),
        (json.dumps(GOOD | {"grade": 1}), "grade: "),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, words):
    file = write(tmp_path / "r.jsonl", json.dumps(GOOD), line)
    with pytest.raises(DataError) as caught:
        read_reviews(file, 5)
    assert "r.jsonl:2: " in str(caught.value)
    assert words in str(caught.value)


def test_an_empty_or_missing_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="no review"):
        read_reviews(write(tmp_path / "r.jsonl"), 5)
    with pytest.raises(DataError, match="cannot be read"):
        read_reviews(tmp_path / "none.jsonl", 5)


def test_the_bundled_reviews_use_the_whole_scale_and_stand_once():
    reviews = bundled_reviews()
    assert 40 <= len(reviews) <= 60
    counts = Counter(review.score for review in reviews)
    assert set(counts) == set(range(1, BUNDLED_GRADES + 1))
    assert min(counts.values()) >= 5
    assert len({(review.input, review.answer) for review in reviews}) == len(reviews)


def test_each_review_gets_the_judges_votes(tmp_path):
    right = {(r.input, r.answer): r.score for r in bundled_reviews()}

    def says(messages, decoding):
        data = shown(messages)
        return f"Grade: {right[data['input'], data['answer']]}"

    for each in graded_reviews(judge(tmp_path, says), bundled_reviews()):
        assert set(each.graded.votes) == {each.review.score}
