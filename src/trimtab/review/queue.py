"""Who works on which item: no two reviewers get the same one without need."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from trimtab.store.reviews import Item

HELD_S = 900.0
"""An item that was shown and not answered goes to someone else after this."""


class Claims:
    """Items in hand, in the memory of one server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._held: dict[str, dict[str, float]] = {}

    def choose(self, items: Sequence[Item], reviewer: str) -> Item | None:
        """The reviewer's item in hand, else the first that is free, else the first; it is then in
        the reviewer's hand. None where there are no items."""
        mine = [item for item in items if reviewer in self._holders(item.id)]
        free = [item for item in items if len(self._holders(item.id)) < item.needed]
        chosen = next(iter([*mine, *free, *items]), None)
        if chosen is not None:
            self._held.setdefault(chosen.id, {})[reviewer] = self._clock() + HELD_S
        return chosen

    def release(self, item: str, reviewer: str) -> None:
        holders = self._held.get(item, {})
        holders.pop(reviewer, None)
        if not holders:
            self._held.pop(item, None)

    def _holders(self, item: str) -> set[str]:
        now = self._clock()
        return {name for name, until in self._held.get(item, {}).items() if until > now}
