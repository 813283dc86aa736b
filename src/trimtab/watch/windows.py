"""Cuts the traffic of one champion's time into windows, and tests each against the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor

from trimtab.store.traces import Trace
from trimtab.store.watching import Hour, OpenWindow, Reading, Window, whole_hour
from trimtab.task.spec import ModelSpec, Task
from trimtab.types import content_hash
from trimtab.watch.counts import SAMPLED, WindowCount
from trimtab.watch.drift import input_drift, mix, output_mix
from trimtab.watch.rates import Limits, hours, learnt_limits
from trimtab.watch.settings import TrafficSettings

_AT_ONCE = timedelta(days=1)
"""What was counted is kept after each day of calls, so that a count that is cut off goes on."""


@dataclass(frozen=True)
class ChampionCalls:
    """Answers that the champion gave to callers."""

    calls: Callable[[datetime, datetime], Iterable[Trace]]
    """From a time to before another, the oldest first."""
    inputs: Callable[[Sequence[str]], Sequence[str]]
    """Of the calls with these ids, as far as they are kept."""
    kept_since: datetime
    """The age up to which they are."""


@dataclass(frozen=True)
class Counted:
    """The traffic until now: closed windows, and the whole hours of the open one."""

    windows: list[Window]
    hours: tuple[Hour, ...]
    limits: Limits
    """What later calls should keep."""


@dataclass(frozen=True)
class Cutter:
    """What counting needs. `limits` are those that are known before there is any traffic."""

    task: Task
    spec: ModelSpec
    settings: TrafficSettings
    limits: Limits
    traffic: ChampionCalls
    keep: Callable[[Window | OpenWindow], None]
    """Called with each window that is over, and with what was counted of the open one."""

    def count(
        self,
        closed: Sequence[Window],
        known: OpenWindow | None,
        begun: tuple[int, datetime],
        settled: datetime,
        now: datetime,
    ) -> Counted:
        """Close the windows that are over by `now`, and count the open one.

        Args:
            known: what is kept of the open one.
            begun: the change with which the champion's time began, and when.
            settled: no call from before this time is still under way. Later ones are counted, and
                read again at the next look.
        """
        windows = list(closed)
        open_ = self._resumed(windows, known, begun)
        while (end := self._end(open_)) <= now:
            self._advance(open_, end, settled)
            if open_.inputs >= self.settings.fewest_inputs:
                windows.append(self._closed(windows, open_.known, open_.inputs))
                self.keep(windows[-1])
                open_ = self._resumed(windows, None, begun)
        self._advance(open_, whole_hour(settled), settled)
        current = self._limits_after(windows)
        latest = self.traffic.calls(open_.until, whole_hour(now))
        rest = hours(latest, self.spec, current.slow_s)
        return Counted(windows, (*open_.known.hours, *rest), current)

    def _limits_after(self, closed: Sequence[Window]) -> Limits:
        """What calls after the closed windows should keep."""
        if not closed:
            return self.limits
        return Limits(self.limits.broken, closed[0].slow_s, closed[0].cost_limit)

    def _resumed(
        self, closed: Sequence[Window], known: OpenWindow | None, begun: tuple[int, datetime]
    ) -> WindowCount:
        """The count of the open window, begun anew where it was another one or by other rules."""
        deployment, since = begun[0], closed[-1].until if closed else begun[1]
        slow_s = self._limits_after(closed).slow_s
        rules = (self.task.name, str(self.task.seed), str(slow_s), self.spec.model_dump_json())
        empty = OpenWindow(
            deployment=deployment,
            number=len(closed),
            since=since,
            until=since,
            counted_by=content_hash(*rules, self.task.output.model_dump_json()),
        )
        same = known is not None and all(
            getattr(known, name) == getattr(empty, name)
            for name in ("deployment", "number", "since", "counted_by")
        )
        return WindowCount(self.task, self.spec, slow_s, known if known and same else empty)

    def _end(self, open_: WindowCount) -> datetime:
        """The next time at which the window may be over: it goes on while it has too few inputs."""
        length = timedelta(days=self.settings.window_days)
        return open_.since + length * (floor((open_.until - open_.since) / length) + 1)

    def _advance(self, open_: WindowCount, until: datetime, settled: datetime) -> None:
        while open_.until < until:
            step = min(until, open_.until + _AT_ONCE)
            open_.add(self.traffic.calls(open_.until, step), step)
            if step <= settled:
                self.keep(open_.known)

    def _closed(self, known: Sequence[Window], counted: OpenWindow, inputs: int) -> Window:
        limits = (
            self._limits_after(known)
            if known
            else learnt_limits(self.limits, counted.seconds, counted.hours)
        )
        answers = mix(Counter(counted.mix))
        sample = tuple(identity for _, identity in counted.sample)
        return Window(
            number=counted.number,
            since=counted.since,
            until=counted.until,
            inputs=inputs,
            hours=counted.hours,
            mix=answers,
            readings=self._tested(known, sample, answers),
            slow_s=limits.slow_s,
            cost_limit=limits.cost,
            sample=sample,
        )

    def _tested(
        self, known: Sequence[Window], sample: Sequence[str], answers: dict[str, int]
    ) -> tuple[Reading, ...]:
        """Inputs against those of the oldest window whose traces are kept, answers against those of
        the first one."""
        if not known:
            return ()
        days, seed = self.settings.window_days, self._seed(len(known))
        mixed = output_mix(known[0].mix, answers, days, seed)
        kept = next((each for each in known if each.since >= self.traffic.kept_since), None)
        before, now = (self.traffic.inputs(ids) for ids in (kept.sample if kept else (), sample))
        if min(len(before), len(now)) < min(self.settings.fewest_inputs, SAMPLED):
            message = (
                "inputs cannot be compared: no earlier window's traces are kept "
                "(capture.retention_days in serve.yaml)"
            )
            return Reading(kind="input-drift", state="unknown", message=message), mixed
        return input_drift(before, now, days, seed), mixed

    def _seed(self, number: int) -> int:
        return int(content_hash(self.task.name, str(self.task.seed), str(number))[:8], 16)
