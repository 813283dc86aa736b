"""Rates and counts, on a clock of the test's own."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from trimtab.serve.limits import Quotas
from trimtab.serve.refusal import Refused
from trimtab.serve.settings import Limits


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def call(quotas: Quotas, key: str = "k") -> None:
    with quotas.call(key):
        pass


def test_a_burst_passes_then_the_rate_holds() -> None:
    clock = Clock()
    quotas = Quotas(Limits(calls_per_minute=60), clock)
    for _ in range(6):
        call(quotas)
    with pytest.raises(Refused) as caught:
        call(quotas)
    assert (caught.value.status, caught.value.retry_after_s) == (429, pytest.approx(1.0))
    clock.now += 0.5
    with pytest.raises(Refused):
        call(quotas)
    clock.now += 0.5
    call(quotas)
    call(quotas, "another key")


def test_over_a_long_time_the_rate_is_never_exceeded() -> None:
    clock = Clock()
    quotas = Quotas(Limits(calls_per_minute=120), clock)
    passed = 0
    for _ in range(6000):
        clock.now += 0.01
        try:
            call(quotas)
            passed += 1
        except Refused:
            continue
    assert 115 <= passed <= 120 + 12


def test_calls_under_way_are_counted_and_given_back_even_after_errors() -> None:
    quotas = Quotas(Limits(concurrent_calls=2, calls_per_minute=60_000))
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(quotas.call("k"))
        with pytest.raises(Refused, match="2 calls at a time"):
            call(quotas)
        call(quotas, "another key")
    for _ in range(5):
        with pytest.raises(ZeroDivisionError), quotas.call("k"):
            raise ZeroDivisionError
    call(quotas)
