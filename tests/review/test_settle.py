from __future__ import annotations

from datetime import UTC, datetime, timedelta

from trimtab.review.agreement import agreement
from trimtab.review.settle import settled
from trimtab.store.reviews import Review

START = datetime(2026, 1, 1, tzinfo=UTC)


def said(
    by: int, action: str, target: str | None = None, minute: int = 0, item: str = "1", **more
) -> Review:
    return Review(
        id=f"{item}-{by}-{minute}",
        task="names",
        item=item,
        reviewer=f"reviewer-{by}",
        time=START + timedelta(minutes=minute),
        action=action,
        target=target,
        **more,
    )


def test_one_reviewer_settles_an_item_that_needs_one() -> None:
    found = settled([said(1, "approve", "person")], 1)
    assert found.state == "done"
    assert (found.outcome.action, found.outcome.target) == ("approve", "person")
    assert found.outcome.by == ("reviewer-1",)


def test_skipping_and_not_knowing_settle_nothing() -> None:
    assert settled([said(1, "skip"), said(2, "unknown")], 1).state == "open"


def test_two_who_agree_stand_both_behind_it() -> None:
    reviews = [said(1, "correct", "company"), said(2, "correct", "company")]
    assert settled(reviews[:1], 2).state == "open"
    assert settled(reviews, 2).outcome.by == ("reviewer-1", "reviewer-2")


def test_two_who_both_reject_agree() -> None:
    found = settled([said(1, "reject"), said(2, "reject")], 2)
    assert (found.state, found.outcome.action, found.outcome.target) == ("done", "reject", None)


def test_two_who_differ_leave_it_torn_until_a_third_decides() -> None:
    reviews = [said(1, "approve", "person"), said(2, "reject")]
    assert settled(reviews, 2).state == "torn"
    third = said(3, "correct", "company", adjudicates=True)
    found = settled([*reviews, third], 2)
    assert (found.state, found.outcome.target) == ("done", "company")
    assert found.outcome.by == ("reviewer-3",)


def test_agreement_is_of_the_two_who_did_not_see_each_other() -> None:
    reviews = []
    for i in range(40):
        right = i % 2 == 0
        other = right if i >= 4 else not right
        name = f"item{i}"
        for by, is_right in ((1, right), (2, other)):
            action, target = ("approve", "person") if is_right else ("correct", "company")
            reviews.append(said(by, action, target, item=name))
        if right != other:
            reviews.append(said(3, "approve", "person", 5, item=name, adjudicates=True))
    reviews.append(said(1, "approve", "person", item="alone"))
    found = agreement(reviews)
    assert (found.items, found.same) == (40, 36)
    assert found.kappa.estimate == 0.8
    assert found.kappa.low < 0.8 < found.kappa.high


def test_agreement_of_none_is_unknown() -> None:
    assert agreement([said(1, "approve", "person")]).kappa.estimate is None
