"""What one key may ask for: how often, and how much at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from trimtab.serve.refusal import Refused
from trimtab.serve.settings import Limits

_BURST = 0.1
"""Share of a minute's calls that may come at once."""


@dataclass
class _Account:
    tokens: float
    filled_at: float
    under_way: int = 0


class Quotas:
    """A token bucket and a count of calls under way for each key; used from one event loop."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate = limits.calls_per_minute / 60
        self._burst = max(1.0, limits.calls_per_minute * _BURST)
        self._concurrent = limits.concurrent_calls
        self._clock = clock
        self._accounts: dict[str, _Account] = {}

    @contextmanager
    def call(self, key: str) -> Iterator[None]:
        """One call of `key`, for as long as it takes.

        Raises:
            Refused: with status 429, where the key has too many calls under way, or had too many
                in the last minute.
        """
        account = self._accounts.setdefault(key, _Account(self._burst, self._clock()))
        if account.under_way >= self._concurrent:
            raise _too_many(f"{self._concurrent} calls at a time", "concurrency_limit", 1.0)
        now = self._clock()
        gained = (now - account.filled_at) * self._rate
        account.tokens = min(self._burst, account.tokens + gained)
        account.filled_at = now
        if account.tokens < 1:
            wait_s = (1 - account.tokens) / self._rate
            raise _too_many(f"{self._rate * 60:g} calls a minute", "rate_limit_exceeded", wait_s)
        account.tokens -= 1
        account.under_way += 1
        try:
            yield
        finally:
            account.under_way -= 1


def _too_many(what: str, code: str, wait_s: float) -> Refused:
    return Refused(
        429,
        f"this key may make {what}; try again in {wait_s:.1f} s",
        kind="rate_limit_error",
        code=code,
        retry_after_s=wait_s,
    )
