"""Where Trimtab serves the task, volume and latency are those of production."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from trimtab.decide.evidence import meets_everything, recent_traffic
from trimtab.decide.gates import gates
from trimtab.decide.money import money
from trimtab.decide.rule import decide
from trimtab.store.history import TaskHistory
from trimtab.store.watching import Traffic
from trimtab.types import Interval

from .factories import TODAY, comparison, evidence, latency, score, task
from .test_money import EFFORT, PROMPT, TUNE, priced


def served(calls=7_000, p95=2.0, half=0.1, variant="id-prompt", days_ago=2) -> Traffic:
    until = datetime(TODAY.year, TODAY.month, TODAY.day, tzinfo=UTC) - timedelta(days=days_ago)
    return Traffic(
        since=until - timedelta(days=7),
        until=until,
        calls=calls,
        variant=variant,
        timed=calls,
        p95_s=Interval(estimate=p95, low=p95 - half, high=p95 + half, n=168, method="test"),
    )


def gate(found, name):
    return next(each for each in gates(found) if each.name == name)


def seen(traffic, **changes):
    return evidence(history=TaskHistory(served=traffic), **changes)


def test_money_is_worked_out_at_the_served_volume() -> None:
    """7,000 in a week are 30,440 a month; the task file says 300,000."""
    found = money(priced(), PROMPT, TUNE, None, EFFORT, served()).money
    assert (found.calls_per_month, found.volume) == (pytest.approx(30_440), "measured")
    at_that = money(priced(calls_per_month=30_440), PROMPT, TUNE, None, EFFORT).money
    assert found.saving_per_month == at_that.saving_per_month
    assert found.p_pays == at_that.p_pays
    told = "; ".join(found.assumptions)
    assert "30,440 calls a month as Trimtab served them (the task file says 300,000)" in told
    (calls,) = [swing for swing in found.tornado if swing.name == "calls a month"]
    assert calls.basis == "measured"


def test_a_served_volume_needs_no_stated_one() -> None:
    found = money(priced(calls_per_month=None), PROMPT, TUNE, None, EFFORT, served())
    assert found.money is not None


def test_the_gate_of_volume_says_where_it_comes_from() -> None:
    stated = gate(evidence(), "volume-pays")
    assert (stated.basis, "by the task file" in stated.evidence) == ("asked", True)
    costs = evidence().money.model_copy(update={"volume": "measured", "calls_per_month": 30_440.0})
    measured = gate(seen(served(), money=costs), "volume-pays")
    assert measured.basis == "measured"
    assert "there are 30,440 as served from 2026-05-23 to 2026-05-30" in measured.evidence
    assert "(the task file says 300,000)" in measured.evidence


def test_the_latency_of_what_serves_is_that_of_production() -> None:
    """Alone it takes 2 s, with other calls beside it 6; 5 are allowed."""
    prompt = score("prompt", 0.9, latency=latency(2.0))
    busy = served(p95=6.0)
    assert meets_everything(prompt, task())
    assert not meets_everything(prompt, task(), busy)
    assert decide(evidence(prompt=prompt, comparison=comparison(0.0))).word == "prompt"
    alone = gate(evidence(prompt=prompt), "prompting-exhausted")
    assert "p95 latency in seconds 2 (95%: 1.9 to 2.1) (at most 5)" in alone.evidence
    told = gate(seen(busy, prompt=prompt), "prompting-exhausted")
    assert "as served until 2026-05-30, 6 (95%: 5.9 to 6.1) (at most 5)" in told.evidence
    assert told.status == "pass", "it misses a limit, so prompting does not do"


def test_another_variants_seconds_are_shown_and_do_not_judge_the_fine_tune() -> None:
    found = gate(seen(served(p95=6.0)), "tune-meets-constraints")
    assert found.status == "pass"
    assert "what serves now takes 6.000 (95%: 5.900 to 6.100) s for 95 of 100" in found.evidence
    own = gate(seen(served(p95=6.0, variant="id-fine-tune")), "tune-meets-constraints")
    assert own.status == "fail"


@pytest.mark.parametrize(("days", "counts"), [(0, True), (29, True), (30, False), (400, False)])
def test_traffic_of_more_than_a_month_ago_is_not_todays(days, counts) -> None:
    history = TaskHistory(served=served(days_ago=days))
    assert (recent_traffic(history, TODAY) is not None) is counts
    assert (replace(evidence(), history=history).served is not None) is counts
