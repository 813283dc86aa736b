"""How far two reviewers of the same items agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from trimtab.compare.kappa import weighted_kappa
from trimtab.store.reviews import JUDGED, Review
from trimtab.types import Interval


@dataclass(frozen=True)
class Agreement:
    """Over the items that two people reviewed unseen by each other."""

    items: int
    same: int
    """Items on which both would write the same target, or both reject."""
    kappa: Interval
    """Cohen's, of the judgement that the answer is right: on two values, quadratic weights are
    those of the plain kappa."""


def agreement(reviews: Iterable[Review]) -> Agreement:
    """From the reviews that stand, in any order of items."""
    pairs = [pair for pair in _pairs(reviews) if pair[0].reviewer != pair[1].reviewer]
    same = sum(one.target == other.target for one, other in pairs)
    right = [(_right(one), _right(other)) for one, other in pairs]
    return Agreement(len(pairs), same, weighted_kappa(right))


def _pairs(reviews: Iterable[Review]) -> list[tuple[Review, Review]]:
    """The first two judgements of each item; one that adjudicates has seen the others."""
    judged: dict[str, list[Review]] = {}
    for review in reviews:
        if review.action in JUDGED and not review.adjudicates:
            judged.setdefault(review.item, []).append(review)
    return [(each[0], each[1]) for each in judged.values() if len(each) > 1]


def _right(review: Review) -> float:
    return 1.0 if review.action == "approve" else 0.0
