"""Whose pass is next, where calls of several variants are under way on one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_WORTH_SWITCHING = 4
"""A turn lasts that many times as long as switching to it took: a fifth is lost at most."""

_TIMES_AS_LONG = 9
"""Background calls have a tenth of the time while others are under way."""


@dataclass(frozen=True)
class Group:
    """Calls that can be one batch: of one adapter, behind the same tokens."""

    adapter: str | None
    shared: tuple[int, ...]
    background: bool


class Turns:
    """Gives groups one turn after the other.

    A turn is one pass. After a switch that took time (to another adapter) it is as many as make
    the switch worth it. So each group waits for one turn of each other group at most, and where
    switching is free all rows go on at the same speed, however many each group has.

    A group in the background gives way at once to any other. But once others kept it waiting nine
    times as long as its turn takes, with the switches there and back, it has that turn: it never
    stands still.
    """

    def __init__(self) -> None:
        self._now: Group | None = None
        self._owed = False
        """Whether the group that has its turn now, in the background, waited long enough for it."""
        self._comes_from: Group | None = None
        """Who had the turn before this one."""
        self._switching_s = self._spent_s = 0.0
        self._order: list[Group] = []
        """Groups in the order of their last turns."""
        self._costs_s: dict[str | None, float] = {}
        """What a turn takes with the switches there and back, by its adapter."""
        self._waited_s: dict[Group, float] = {}
        """How long others kept a group in the background waiting since its last turn."""

    def next(self, groups: Sequence[Group]) -> Group:
        """Which of `groups`, in the order of their arrival and not empty, has the next pass."""
        self._order = [group for group in self._order if group in groups]
        self._waited_s = {g: waited for g, waited in self._waited_s.items() if g in groups}
        front = [group for group in groups if not group.background]
        behind = [group for group in groups if group.background] if front else []
        gives_way = self._now in behind and not self._owed
        worth_it = self._spent_s >= _WORTH_SWITCHING * self._switching_s
        if self._now not in groups or worth_it or gives_way:
            owed = [group for group in behind if self._is_owed(group)]
            self._begin(owed or front or groups, owed=bool(owed))
        assert self._now is not None
        for group in behind:
            if group != self._now:
                self._waited_s.setdefault(group, 0.0)
        return self._now

    def took(self, switching_s: float, passing_s: float) -> None:
        """What the pass took that `next` gave out, and the switch before it."""
        assert self._now is not None
        self._switching_s += switching_s
        self._spent_s += passing_s
        if self._comes_from != self._now:
            switches_s = (2 + _WORTH_SWITCHING) * self._switching_s
            self._costs_s[self._now.adapter] = switches_s + passing_s
        for group in self._waited_s:
            self._waited_s[group] += switching_s + passing_s

    def _is_owed(self, group: Group) -> bool:
        cost_s = self._costs_s.get(group.adapter, 0.0)
        return self._waited_s.get(group, -1.0) >= _TIMES_AS_LONG * cost_s

    def _begin(self, candidates: Sequence[Group], *, owed: bool) -> None:
        """The turn of a group that had none yet, or whose last one is the longest ago."""
        new = [group for group in candidates if group not in self._order]
        chosen = new[0] if new else next(g for g in self._order if g in candidates)
        self._order = [*(group for group in self._order if group != chosen), chosen]
        self._comes_from, self._now, self._owed = self._now, chosen, owed
        self._switching_s = self._spent_s = 0.0
        self._waited_s.pop(chosen, None)
