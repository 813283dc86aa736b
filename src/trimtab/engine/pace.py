"""How many calls an endpoint gets at a time: all that are allowed, fewer once it refuses some."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Pace:
    """Shared by all calls to one endpoint; used from its event loop only.

    The limit is halved when calls are refused as too many, and grows by one with each full round
    of answers (additive increase, multiplicative decrease, as in TCP: RFC 5681). A refusal also
    stops all calls for as long as the endpoint asked for.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = float(most)
        self._under_way = 0
        self._cut_at = float("-inf")
        self._open_at = float("-inf")
        self._changed = asyncio.Condition()

    @property
    def limit(self) -> int:
        """Calls that may be under way."""
        return int(self._limit)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[float]:
        """Wait until one more call may be sent; gives the loop's time at which it is."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._under_way < self.limit)
            self._under_way += 1
        try:
            while (wait := self._open_at - _now()) > 0:
                await asyncio.sleep(wait)
            yield _now()
        finally:
            self._under_way -= 1
            async with self._changed:
                self._changed.notify_all()

    def answered(self) -> None:
        """A call was answered."""
        self._limit = min(self._most, self._limit + 1 / self._limit)

    def too_many(self, sent_at: float, wait_s: float) -> None:
        """A call that was sent at `sent_at` was refused; send none for `wait_s` seconds.

        The calls of one burst are refused together, and halve the limit once.
        """
        now = _now()
        if sent_at >= self._cut_at:
            self._limit = max(1.0, self._limit / 2)
            self._cut_at = now
        self._open_at = max(self._open_at, now + wait_s)


def _now() -> float:
    return asyncio.get_running_loop().time()
