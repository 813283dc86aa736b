"""A table of costs as a score of each row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trimtab.score.label import from_contract
from trimtab.task.spec import Costs, Scoring
from trimtab.types import OutputContract

LABELS = ("low", "high", "none")
CONTRACT = OutputContract(kind="label", labels=LABELS)


def scorer(**costs):
    return from_contract(CONTRACT, Scoring(costs=Costs(**costs)))


@pytest.mark.parametrize(
    ("answer", "target", "expected"),
    [
        ("high", "high", 1.0),
        ("low", "high", 0.0),  # the dearest mistake: 10 of 10
        ("high", "low", 0.9),  # not named: 1 of 10
        ("none", "high", 0.75),  # 2.5 of 10
        ("hgih", "high", 0.6),  # no label: 4 of 10
        ("", "low", 0.6),
    ],
)
def test_known_costs(answer, target, expected):
    judge = scorer(table={"high": {"low": 10, "none": 2.5}}, invalid=4)
    scored = judge(answer, target)
    assert scored.metrics["cost_score"] == pytest.approx(expected)
    assert scored.metrics["accuracy"] == float(answer == target)
    assert scored.valid == (answer in LABELS)


def test_no_label_costs_as_the_dearest_label_by_default():
    judge = scorer(table={"high": {"low": 10}})
    assert judge("?", "low").metrics["cost_score"] == 0
    assert judge("high", "low").metrics["cost_score"] == pytest.approx(0.9)


def test_an_invalid_answer_may_be_the_dearest_of_all():
    judge = scorer(invalid=5)
    assert judge("?", "low").metrics == {"accuracy": 0, "cost_score": 0}
    assert judge("high", "low").metrics["cost_score"] == pytest.approx(0.8)


def test_an_invalid_answer_may_cost_nothing():
    assert scorer(invalid=0)("?", "low").metrics["cost_score"] == 1


def test_without_a_table_every_mistake_is_alike():
    judge = scorer()
    for answer in LABELS:
        metrics = judge(answer, "low").metrics
        assert metrics["cost_score"] == metrics["accuracy"]


costs = st.floats(0, 1e6, allow_subnormal=False)


@given(
    st.dictionaries(
        st.sampled_from(LABELS), st.dictionaries(st.sampled_from(LABELS), costs), max_size=3
    ),
    costs,
    st.sampled_from((*LABELS, "x")),
    st.sampled_from(LABELS),
)
def test_the_score_falls_with_the_cost_and_stays_in_0_to_1(table, invalid, answer, target):
    table = {t: {a: c for a, c in row.items() if a != t} for t, row in table.items()}
    named = Costs(table=table, invalid=invalid)
    highest = max(named.dearest_label(LABELS), invalid)
    if highest == 0:
        return
    score = scorer(table=table, invalid=invalid)(answer, target).metrics["cost_score"]
    cost = invalid if answer == "x" else named.of(target, answer)
    assert 0 <= score <= 1
    assert score == pytest.approx(1 - cost / highest)
