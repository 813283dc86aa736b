"""Cuts the traffic of one champion's time into windows, and tests each against the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from trimtab.store.traces import Trace
from trimtab.store.watching import Reading, Window
from trimtab.task.contract import parse
from trimtab.task.near import normalised
from trimtab.task.spec import ModelSpec, Task
from trimtab.types import content_hash
from trimtab.watch.drift import input_drift, kind_of_answer, mix, output_mix
from trimtab.watch.rates import Limits, hours, learnt_limits
from trimtab.watch.settings import TrafficSettings

ReadTraces = Callable[[datetime, datetime], Sequence[Trace]]
"""Answers of the champion from a time to before another, the oldest first."""


@dataclass(frozen=True)
class Cutter:
    """What closing a window needs. `kept_since` is the age up to which traces are kept."""

    task: Task
    spec: ModelSpec
    settings: TrafficSettings
    limits: Limits
    read: ReadTraces
    kept_since: datetime

    def close_due(self, closed: Sequence[Window], begun: datetime, now: datetime) -> list[Window]:
        """The windows that ended since the last one of `closed`, tested."""
        known = list(closed)
        while (window := self._next(known, begun, now)) is not None:
            known.append(window)
        return known[len(closed) :]

    def limits_after(self, closed: Sequence[Window]) -> Limits:
        """What calls after the closed windows should keep."""
        if not closed:
            return self.limits
        return Limits(self.limits.broken, closed[0].slow_s, closed[0].cost_limit)

    def _next(self, known: Sequence[Window], begun: datetime, now: datetime) -> Window | None:
        """The next window, where it is over. It goes on while it has too few inputs."""
        since = known[-1].until if known else begun
        length = timedelta(days=self.settings.window_days)
        until = since + length
        while until <= now:
            traces = self.read(since, until)
            inputs = distinct(traces)
            if len(inputs) >= self.settings.fewest_inputs:
                return self._closed(known, since, until, traces, inputs)
            until += length
        return None

    def _closed(
        self,
        known: Sequence[Window],
        since: datetime,
        until: datetime,
        traces: Sequence[Trace],
        inputs: Sequence[str],
    ) -> Window:
        limits = (
            self.limits_after(known) if known else learnt_limits(self.limits, traces, self.spec)
        )
        slow_s = limits.slow_s if known else self.limits.slow_s
        answers = self._mix(traces)
        return Window(
            number=len(known),
            since=since,
            until=until,
            inputs=len(inputs),
            hours=hours(traces, self.spec, slow_s),
            mix=answers,
            readings=self._tested(known, since, inputs, answers),
            slow_s=limits.slow_s,
            cost_limit=limits.cost,
        )

    def _tested(
        self,
        known: Sequence[Window],
        since: datetime,
        inputs: Sequence[str],
        answers: dict[str, int],
    ) -> tuple[Reading, ...]:
        """Inputs against those of the oldest window whose traces are kept, answers against those of
        the first one."""
        if not known:
            return ()
        days, seed = self.settings.window_days, self._seed(len(known))
        mixed = output_mix(known[0].mix, answers, days, seed)
        kept = next((each for each in known if each.since >= self.kept_since), None)
        before = distinct(self.read(kept.since, kept.until)) if kept else []
        if len(before) < self.settings.fewest_inputs:
            message = (
                "inputs cannot be compared: no earlier window's traces are kept "
                "(capture.retention_days in serve.yaml)"
            )
            return Reading(kind="input-drift", state="unknown", message=message), mixed
        return input_drift(before, inputs, days, seed), mixed

    def _mix(self, traces: Sequence[Trace]) -> dict[str, int]:
        """Valid answers by kind. Those that break the contract are the concern of another test."""
        kinds: Counter[str] = Counter()
        for trace in traces:
            if trace.valid and trace.output is not None:
                try:
                    value = parse(self.task.output, trace.output)
                except ValueError:  # masking may break what was valid when it was sent
                    continue
                kinds[kind_of_answer(self.task.output, trace.output, value)] += 1
        return mix(kinds)

    def _seed(self, number: int) -> int:
        return int(content_hash(self.task.name, str(self.task.seed), str(number))[:8], 16)


def distinct(traces: Sequence[Trace]) -> list[str]:
    """Inputs without repetitions."""
    return list({normalised(trace.input): trace.input for trace in traces}.values())
