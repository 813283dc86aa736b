"""`trimtab judge`."""

from __future__ import annotations

from decisions import write_task

JUDGE = {"model": {"engine": "fake", "model": "judge"}, "rubric": "Is it right?"}


def test_a_useless_judge_is_told_so(trimtab, tmp_path) -> None:
    """The fake engine writes no grade at all."""
    folder = write_task(tmp_path / "task", scoring={"judge": JUDGE})
    ended = trimtab("judge", folder, "--bundled")
    assert ended.code == 0
    assert "Kappa: undefined (95%: undefined to undefined), on 0 reviews" in ended.out
    assert "54 of 54 reviews" in ended.out
    assert "Too unsure" in ended.out
    assert "Calls: 162" in ended.out


def test_without_a_judge_or_reviews_it_says_what_is_missing(trimtab, tmp_path) -> None:
    ended = trimtab("judge", write_task(tmp_path / "plain"))
    assert (ended.code, "names no judge" in ended.err) == (2, True)
    folder = write_task(tmp_path / "task", scoring={"judge": JUDGE})
    ended = trimtab("judge", folder)
    assert (ended.code, "--bundled" in ended.err) == (2, True)
