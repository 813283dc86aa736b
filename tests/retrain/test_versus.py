"""Champion against challenger: fair rows, slices, and the conclusion."""

from __future__ import annotations

from trimtab.compare.paired import compare
from trimtab.retrain.versus import by_slice, conclude, unseen
from trimtab.types import Example, Record, Scored


def row(i: int, target: str = "a", text: str | None = None) -> Example:
    return Example(id=f"e{i}", input=text or "x" * (i + 1), target=target)


def records(variant: str, scores) -> list[Record]:
    return [
        Record(
            variant=variant,
            example=f"e{i}",
            completion=None,
            outcome=Scored(metrics={"accuracy": float(score)}, valid=True),
        )
        for i, score in enumerate(scores)
    ]


def judged(old, new, arms=("prompt", "prompt"), targets=None, least=0.03):
    rows = [row(i, (targets or "a" * len(old))[i]) for i in range(len(old))]
    before, after = records("old", old), records("new", new)
    slices = by_slice(before, after, rows, "accuracy", sorted({r.target for r in rows}), {})
    return conclude(compare(before, after, "accuracy"), slices, arms, least), slices


def test_rows_that_the_champion_saw_are_left_out_with_their_like() -> None:
    rows = [row(i) for i in range(4)]
    clusters = {"e0": "near 1", "e1": "near 1", "e2": "near 2", "seen": "near 2"}
    assert [r.id for r in unseen(rows, {"seen"}, clusters)] == ["e0", "e1", "e3"]
    assert [r.id for r in unseen(rows, {"e0"}, clusters)] == ["e2", "e3"]


def test_a_better_challenger_takes_over() -> None:
    found, _ = judged([0, 1] * 100, [1, 1] * 100)
    assert found.conclusion == "better"


def test_no_shown_gain_keeps_the_champion() -> None:
    found, _ = judged([1, 0] * 100, [1, 0] * 99 + [1, 1])
    assert found.conclusion == "stay"
    assert "no gain is shown" in found.statement


def test_a_prompt_that_is_as_good_as_the_tune_takes_over() -> None:
    same = [1, 1, 1, 0] * 100
    assert judged(same, same, ("fine-tune", "prompt"))[0].conclusion == "simpler"
    assert judged(same, same, ("prompt", "fine-tune"))[0].conclusion == "stay"
    assert judged(same[:8], same[:8], ("fine-tune", "prompt"))[0].conclusion == "stay"


def test_a_gain_on_the_whole_with_a_loss_on_a_label_keeps_the_champion() -> None:
    old = [0] * 100 + [1] * 40
    new = [1] * 100 + [0] * 40
    found, slices = judged(old, new, targets="a" * 100 + "b" * 40)
    assert found.conclusion == "stay"
    assert "label b" in found.statement
    assert {each.name: each.status for each in slices}["label b"] == "fail"


def test_a_loss_on_long_inputs_is_seen() -> None:
    old, new = [0] * 150 + [1] * 50, [1] * 150 + [0] * 50
    _, slices = judged(old, new)
    states = {each.name: each.status for each in slices}
    assert states["input length, longest quarter"] == "fail"
    assert states["input length, shortest quarter"] == "pass"


def test_a_slice_of_few_rows_is_unknown() -> None:
    _, slices = judged([1] * 60, [0] * 10 + [1] * 50, targets="b" * 10 + "a" * 50)
    assert {each.name: each.status for each in slices}["label b"] == "unknown"


def test_too_few_rows_keep_the_champion() -> None:
    found, _ = judged([0], [1])
    assert "too few rows" in found.statement
