"""Gains are claimed together: Holm's correction keeps one lucky figure from passing for a gain."""

from trimtab.decide.gates import gates
from trimtab.types import Interval, Latency

from .factories import comparison, evidence, interval, language, score


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


def test_a_gain_without_an_interval_is_not_shown():
    found = gate("gain-quality", **p(None))
    assert found.status == "unknown"
    assert "may be luck" in found.evidence


def test_one_timed_call_shows_no_gain():
    """Without a second call there is no interval, however much faster the first was."""
    once = timed(0.1, 0.0).model_copy(update={"mean_interval": None})
    found = gate(
        "gain-latency",
        prompt=score("prompt", 0.6, latency=timed(1.0, 0.1)),
        fine_tune=score("fine-tune", 0.9, latency=once),
    )
    assert found.status == "unknown"


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


def test_a_language_is_foreign_only_beside_the_most_that_general_text_takes():
    """1.3 bits a byte beside 1.0 within 0.03; then beside 1.0 within 0.2, which may be 1.2."""
    surely = language(1.3, 0.5)
    assert gate("gain-language", language=surely).status == "pass"
    wide = surely.general.model_copy(update={"low": 0.8, "high": 1.2})
    found = gate("gain-language", language=surely.model_copy(update={"general": wide}))
    assert found.status == "unknown"
