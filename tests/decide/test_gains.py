"""Gains are claimed together: Holm's correction keeps one lucky figure from passing for a gain."""

from trimtab.decide.gates import gates
from trimtab.types import Interval, Latency

from .factories import comparison, evidence, interval, score


def gate(name, **changes):
    return {g.name: g for g in gates(evidence(**changes))}[name]


def p(value):
    return {"comparison": comparison(0.05, 0.04).model_copy(update={"p_value": value})}


def timed(mean, half):
    bounds = Interval(estimate=mean, low=mean - half, high=mean + half, n=20, method="test")
    p95 = Interval(estimate=2.0, low=1.9, high=2.1, n=20, method="test")
    return Latency(p50=mean, p95=2.0, mean=mean, n=20, p95_interval=p95, mean_interval=bounds)


def test_one_of_two_gains_must_be_twice_as_sure():
    """Validity has a p-value too, so there are two claims and Holm doubles the smaller p."""
    assert gate("gain-quality", **p(0.024)).status == "pass"
    lucky = gate("gain-quality", **p(0.026))
    assert lucky.status == "unknown"
    assert "p 0.052 after Holm's correction" in lucky.evidence
    assert lucky.settle == "more test rows"


def test_a_gain_beside_a_sure_one_needs_no_more_than_the_level():
    sure = {"prompt": score("prompt", 0.6, validity=interval(0.9))}
    assert gate("gain-quality", **p(0.049), **sure).status == "pass"
    assert gate("gain-format", **p(0.049), **sure).status == "pass"


def test_a_gain_without_a_p_value_is_judged_as_it_is():
    assert gate("gain-quality", **p(None)).status == "pass"


def test_a_failed_gain_stays_failed():
    found = gate("gain-quality", comparison=comparison(0.0, 0.029))
    assert found.status == "fail"
    assert "Holm" not in found.evidence


def test_a_faster_mean_must_be_sure():
    """A third faster: with intervals of a tenth it is sure, with intervals of a half it is not."""
    for half, status in ((0.1, "pass"), (0.5, "unknown")):
        found = gate(
            "gain-latency",
            prompt=score("prompt", 0.6, latency=timed(1.0, half)),
            fine_tune=score("fine-tune", 0.9, latency=timed(0.66, half)),
        )
        assert found.status == status


def test_a_cheaper_call_with_exact_money_is_sure():
    found = gate(
        "gain-quality",
        prompt=score("prompt", 0.6, money_interval=interval(1.0, 0.0)),
        fine_tune=score("fine-tune", 0.9, money_interval=interval(0.5, 0.0)),
        **p(0.024),
    )
    assert found.status == "pass", "the cheaper call comes first, then quality among two"
