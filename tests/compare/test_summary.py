import pytest

from trimtab.compare.summary import agreement, summarise
from trimtab.errors import RunError

from .factories import answer, answers, failure, variant

V = variant()


def test_failures_are_counted_by_boundary_and_are_in_no_mean():
    records = [
        answer("a", {"m": 1.0, "n": 0.5}, of=V.id, tokens=(10, 4, 2)),
        answer("b", {"m": 0.0, "n": 0.0}, of=V.id, valid=False, tokens=(30, 8, 6)),
        failure("c", of=V.id),
        failure("d", of=V.id, boundary="server"),
    ]
    score = summarise(V, "test", records, "m")
    assert (score.n, score.failures) == (2, 2)
    assert score.failure_boundaries == {"timeout": 1, "server": 1}
    assert score.quality.estimate == 0.5
    assert score.quality == score.metrics["m"]
    assert score.metrics["n"].estimate == 0.25
    assert score.validity.estimate == 0.5
    assert (score.tokens_in, score.tokens_cached, score.tokens_out) == (20, 6, 4)


def test_nothing_scored_is_unknown():
    score = summarise(V, "dev", [failure("c", of=V.id)], "m")
    assert score.quality.estimate is None
    assert score.validity.estimate is None
    assert score.tokens_in is None
    assert summarise(V, "dev", [], "m").n == 0


def test_records_of_another_variant_are_refused():
    with pytest.raises(RunError, match="given for"):
        summarise(V, "dev", answers([1.0], of="other"), "m")


def test_agreement_counts_pairs():
    """a: three repeats, two equal: 1 of 3 pairs. b: both equal. c: only one repeat scored."""
    records = [
        answer("a", {}, repeat=0, parsed={"x": 1, "y": 2}),
        answer("a", {}, repeat=1, parsed={"y": 2, "x": 1}),
        answer("a", {}, repeat=2, parsed={"x": 2}),
        answer("b", {}, repeat=0, parsed="z"),
        answer("b", {}, repeat=1, parsed="z"),
        answer("c", {}, repeat=0),
        failure("c", repeat=1),
    ]
    interval = agreement(records)
    assert interval.n == 2
    assert interval.estimate == pytest.approx((1 / 3 + 1) / 2)


def test_invalid_answers_never_agree():
    records = [answer("a", {}, repeat=r, valid=False, parsed=None) for r in range(2)]
    assert agreement(records).estimate == 0.0


def test_agreement_needs_repeats():
    assert agreement(answers([1.0, 1.0])).estimate is None


def test_agreement_of_copies_is_no_surer_than_of_one():
    records = [
        answer(f"{name}{i}", {}, repeat=repeat, parsed=repeat if i % 3 == 0 else "z")
        for name in "ab"
        for i in range(30)
        for repeat in range(2)
    ]
    copies = {f"{name}{i}": str(i) for name in "ab" for i in range(30)}
    alone, clustered = agreement(records), agreement(records, copies)
    assert clustered.estimate == alone.estimate
    assert clustered.high - clustered.low > 1.2 * (alone.high - alone.low)
