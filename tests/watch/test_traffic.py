"""What the next decision is told of production: volume, and the seconds of the champion's calls."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from trimtab.store.watching import CHECK_FILE, Check
from trimtab.watch.traffic import traffic

from .test_check import CHAMPION, database, folder, look, serve  # noqa: F401 - fixtures
from .traffic import START, trace

WEEK = timedelta(days=7)


def calls(count: int, seconds=lambda i: 0.25, **changes: object):
    """Spread over a week."""
    return [
        trace(START + WEEK * (i / count), latency_s=seconds(i), **changes) for i in range(count)
    ]


def seen(traces):
    return traffic(traces, START, START + WEEK, "v")


def test_all_calls_count_with_what_they_stand_for() -> None:
    found = seen(
        [
            *calls(100, weight=10.0),
            *calls(50, role="canary", variant="w"),
            *calls(70, role="shadow", variant="w"),
            *calls(5, output=None, valid=None),
        ]
    )
    assert found.calls == 1055
    assert found.calls_per_month == pytest.approx(1055 * 30.44 / 7)
    assert found.timed == 100


def test_the_percentile_is_that_of_the_calls_by_weight() -> None:
    """One call in twelve takes 2 s, or 1 in 120 where the quick ones stand for ten each."""
    slow = calls(100, lambda i: 2.0)
    assert seen([*calls(1100), *slow]).p95_s.estimate == pytest.approx(2.0, rel=0.011)
    quick = [*calls(1100, weight=10.0), *slow]
    assert seen(quick).p95_s.estimate == pytest.approx(0.25, rel=0.011)


def test_another_variants_seconds_are_not_the_champions() -> None:
    found = seen([*calls(200), *calls(200, lambda i: 9.0, variant="w")])
    assert found.p95_s.estimate == pytest.approx(0.25, rel=0.011)
    assert seen(calls(20, variant="w")) is None


def test_less_than_a_day_is_nothing() -> None:
    assert traffic(calls(50), START, START + timedelta(hours=23), "v") is None
    assert seen([]) is None


def test_few_hours_have_no_interval() -> None:
    found = seen(calls(20))
    assert (found.p95_s.low, found.p95_s.high) == (None, None)
    assert found.p95_s.n == 20


def test_the_interval_holds_the_truth_where_hours_differ() -> None:
    """Nominal 95%, calls of one hour slow together: 150 weeks of 168 hours with 12 calls each."""
    held = 0
    truth = float(np.quantile(hourly(np.random.default_rng(0), 40_000), 0.95))
    for seed in range(150):
        seconds = hourly(np.random.default_rng(seed + 1), 168).ravel()
        moments = [START + timedelta(hours=i // 12, minutes=i % 12) for i in range(len(seconds))]
        drawn = zip(moments, seconds.tolist(), strict=True)
        p95 = seen([trace(moment, latency_s=s) for moment, s in drawn]).p95_s
        held += p95.low <= truth <= p95.high
    assert 0.9 <= held / 150 <= 0.99


def hourly(rng: np.random.Generator, hours: int) -> np.ndarray:
    """(hours, 12) seconds: an hour's load, and each call's own part."""
    load = rng.normal(0, 0.3, (hours, 1))
    return np.exp(load + rng.normal(0, 0.3, (hours, 12)))


def test_a_check_leaves_it_in_a_file_and_counts_anew_after_a_day(folder, database) -> None:  # noqa: F811
    serve(database, {}, {"calls": 400})
    first = look(folder, database, 1).check
    assert first.traffic.variant == CHAMPION.variant
    assert first.traffic.calls == pytest.approx(200, abs=2)
    assert Check.model_validate_json((folder / CHECK_FILE).read_bytes()) == first
    soon = look(folder, database, 1 + 0.9 / 7).check
    assert soon.traffic == first.traffic
    later = look(folder, database, 2).check.traffic
    assert later.calls == pytest.approx(400, abs=3)


def test_nothing_is_told_of_the_first_hours(folder, database) -> None:  # noqa: F811
    serve(database, {})
    assert look(folder, database, 0.1).check.traffic is None
