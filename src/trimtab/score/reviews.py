"""People's grades of answers, which a judge model is held against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from pydantic import Field, ValidationError

from trimtab.errors import DataError
from trimtab.score.base import Answered
from trimtab.score.judge import Graded, Judge
from trimtab.types import Noun

BUNDLED_RUBRIC = """\
5: right and complete, and says nothing wrong.
4: right, with a slip or a gap that would mislead nobody.
3: partly right: something that matters is missing or wrong.
2: mostly wrong, with some part that is right.
1: wrong, empty, or no answer to what was asked."""
"""What the grades of the bundled reviews mean."""

BUNDLED_GRADES = 5


class Review(Noun):
    """One answer that a person graded, from 1 (worst) up to the rubric's best grade."""

    input: str
    target: str = ""
    """A right answer, as the judge sees it; may be left out."""
    answer: str
    score: int = Field(ge=1)
    reviewer: str | None = None


@dataclass(frozen=True)
class Reviewed:
    """A review, and the judge's votes on the same answer."""

    review: Review
    graded: Graded


def read_reviews(path: Path, grades: int) -> list[Review]:
    """The reviews of a JSONL file.

    Raises:
        DataError: with file and line, where a line is no review or its score is above `grades`.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the reviews cannot be read: {error}") from error
    reviews = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            reviews.append(_review(f"{path}:{number}", line, grades))
    if not reviews:
        raise DataError(
            f"{path}: there is no review in it; write one a line, such as "
            '{"input": "...", "target": "...", "answer": "...", "score": 3}'
        )
    return reviews


def bundled_reviews() -> list[Review]:
    """Reviews that come with Trimtab, of `BUNDLED_GRADES` grades by `BUNDLED_RUBRIC`.

    Answers and grades were written for Trimtab, to try a judge out: they are short, general and in
    English, and say little about how well it judges another task.
    """
    text = files("trimtab.score").joinpath("judge_items.jsonl").read_text("utf-8")
    return [_review("judge_items.jsonl", line, BUNDLED_GRADES) for line in text.splitlines()]


def graded_reviews(judge: Judge, reviews: Sequence[Review]) -> list[Reviewed]:
    """The judge's votes on every reviewed answer. Raises `BudgetSpent` as `Judge.grade`."""
    rows = [Answered(input=r.input, target=r.target, answer=r.answer) for r in reviews]
    pairs = zip(reviews, judge.grade(rows), strict=True)
    return [Reviewed(review, graded) for review, graded in pairs]


def _review(place: str, line: str, grades: int) -> Review:
    try:
        review = Review.model_validate_json(line)
    except ValidationError as error:
        detail = error.errors()[0]
        where = ".".join(map(str, detail["loc"]))
        raise DataError(f"{place}: {f'{where}: ' if where else ''}{detail['msg']}") from error
    if review.score > grades:
        raise DataError(
            f"{place}: score: {review.score} is above the {grades} grades of the rubric"
        )
    return review
