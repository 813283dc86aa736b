"""Contract, latency and cost against their limits."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from decisions import write_task
from trimtab.task.load import load_task
from trimtab.task.spec import ModelSpec, Prices
from trimtab.watch.rates import Limits, cost_of, hours, learnt_limits, limits, rates

from .traffic import START, seconds, trace, week_of_calls

SPEC = ModelSpec(prices=Prices(input=1.0, output=10.0))


def readings(traces, known: Limits):
    found = rates(hours(traces, SPEC, known.slow_s), known, {}, START)
    return {each.kind: each for each in found}


def month(seed: int = 0, **changes):
    rng = np.random.default_rng(seed)
    return [each for week in range(4) for each in week_of_calls(week, rng, **changes)]


def some(traces, share: float, seed: int = 0, **changes):
    rng = np.random.default_rng(seed)
    return [t.model_copy(update=changes) if rng.random() < share else t for t in traces]


def test_limits_come_from_the_task_and_the_sealed_test(tmp_path) -> None:
    goals = {"quality": 0.9, "validity": 0.99}
    constraints = {"p95_latency_seconds": 2.0, "money_per_1000_calls": 5.0}
    task = load_task(write_task(tmp_path, goals=goals, constraints=constraints))
    assert limits(task, SPEC, None) == Limits(pytest.approx(0.01), 2.0, 0.005)


def test_tokens_are_not_held_against_a_limit_of_money(tmp_path) -> None:
    task = load_task(write_task(tmp_path, constraints={"money_per_1000_calls": 5.0}))
    machine = ModelSpec(machine_per_hour=0.2)
    served = month()
    known = learnt_limits(
        limits(task, machine, None), seconds(served), hours(served, machine, None)
    )
    assert known.cost == pytest.approx(1.25 * cost_of(served[0], machine))
    found = rates(hours(served, machine, known.slow_s), known, {}, START)
    assert {each.kind: each.state for each in found}["cost"] == "quiet"


def test_what_the_task_does_not_limit_is_learnt_from_the_first_window() -> None:
    served = [trace(START, latency_s=i / 100) for i in range(1, 101)]
    known = seconds(served), hours(served, SPEC, None)
    learnt = learnt_limits(Limits(0.01), *known)
    assert learnt.slow_s == pytest.approx(1.5 * 0.95, rel=0.011)
    assert learnt.slow_s >= 1.5 * 0.95 - 1e-9
    assert learnt.cost == pytest.approx(1.25 * cost_of(served[0], SPEC))
    assert learnt_limits(Limits(0.01, 3.0, 0.1), *known) == Limits(0.01, 3.0, 0.1)
    assert learnt_limits(Limits(0.01), {}, ()) == Limits(0.01)


def test_good_calls_that_stand_for_others_count_for_them() -> None:
    (hour,) = hours([trace(START, weight=4.0), trace(START, valid=False)], SPEC, None)
    assert (hour.calls, hour.broken) == (5.0, 1.0)


def test_broken_answers_raise_an_alarm() -> None:
    known = Limits(0.02, 1.0, 1.0)
    assert readings(some(month(), 0.015, valid=False), known)["contract"].state == "quiet"
    assert readings(some(month(), 0.08, valid=False), known)["contract"].state == "alarm"


def test_failed_calls_count_as_broken() -> None:
    failed = some(month(), 0.1, valid=None, output=None)
    assert readings(failed, Limits(0.02, 1.0, 1.0))["contract"].state == "alarm"


def test_an_outage_is_seen_within_hours() -> None:
    served = [trace(START + timedelta(minutes=10 * i), valid=i < 60) for i in range(90)]
    assert readings(served, Limits(0.01))["contract"].state == "alarm"


def test_slow_calls_raise_an_alarm() -> None:
    known = Limits(0.02, 1.0, 1.0)
    assert readings(some(month(), 0.03, latency_s=2.0), known)["latency"].state == "quiet"
    assert readings(some(month(), 0.2, latency_s=2.0), known)["latency"].state == "alarm"


def test_dear_calls_raise_an_alarm() -> None:
    usual = cost_of(trace(START), SPEC)
    assert readings(month(), Limits(0.02, 1.0, usual * 1.25))["cost"].state == "quiet"
    dear = month(tokens_in=400)
    assert readings(dear, Limits(0.02, 1.0, usual * 1.25))["cost"].state == "alarm"


def test_what_has_no_limit_is_unknown() -> None:
    found = readings(month(), Limits(0.02))
    assert found["latency"].state == found["cost"].state == "unknown"
    assert {each.state for each in readings([], Limits(0.02)).values()} == {"unknown"}


def test_tokens_take_the_place_of_money_without_prices() -> None:
    assert cost_of(trace(START, tokens_cached=40), ModelSpec()) == 62


def test_a_day_that_is_not_over_is_not_judged() -> None:
    morning = [trace(START + timedelta(hours=i), latency_s=9.0) for i in range(6)]
    assert readings(morning, Limits(0.02, 1.0, 1.0))["latency"].state == "unknown"
