"""What the reviews of one item come to, as a pure function of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trimtab.store.reviews import JUDGED, Outcome, Review, State


@dataclass(frozen=True)
class Settled:
    """`outcome` is there where the item is done."""

    state: State
    outcome: Outcome | None = None


def settled(reviews: Sequence[Review], needed: int) -> Settled:
    """The state of an item after these reviews, the oldest first.

    Skipping and not knowing settle nothing. Two reviewers agree where they would write the same
    target, or both reject; else the item is torn until a third decides.
    """
    judged = [review for review in reviews if review.action in JUDGED]
    for review in judged:
        if review.adjudicates:
            return Settled("done", _outcome([review]))
    if len(judged) < needed:
        return Settled("open")
    first, *others = judged[:needed]
    if any(other.target != first.target for other in others):
        return Settled("torn")
    return Settled("done", _outcome(judged[:needed]))


def _outcome(reviews: Sequence[Review]) -> Outcome:
    last = reviews[-1]
    right = "approve" if last.action == "approve" else "correct"
    return Outcome(
        action="reject" if last.target is None else right,
        target=last.target,
        by=tuple(review.reviewer for review in reviews),
        time=last.time,
    )
