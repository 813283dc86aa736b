"""Counts calls as they stream by, in memory that does not grow with them.

What was counted is kept between looks, so that each call is read once. No text is kept.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b

from trimtab.store.traces import Trace
from trimtab.store.watching import OpenWindow, SideCounts
from trimtab.task.contract import parse
from trimtab.task.near import normalised
from trimtab.task.spec import ModelSpec, Task
from trimtab.watch.drift import kind_of_answer
from trimtab.watch.rates import HourSums
from trimtab.watch.seconds import step_of

SAMPLED = 1000
"""Distinct inputs that a window keeps, of more the ones with the smallest hashes."""
_HASHES = 2**64


class InputSample:
    """A sample of the distinct inputs, each as likely to be in it, and how many there are.

    Those with the smallest keyed hashes stay; how small the largest of them is tells the number.
    Source: Beyer, Haas, Reinwald, Sismanis & Gemulla 2007, SIGMOD (KMV).
    """

    def __init__(self, key: str, sampled: Iterable[tuple[int, str]] = ()) -> None:
        self._key = key.encode()[:64]
        self._ids = dict(sampled)
        self._largest = [-number for number in self._ids]
        heapq.heapify(self._largest)

    def add(self, trace: Trace) -> None:
        digest = blake2b(normalised(trace.input).encode(), digest_size=8, key=self._key)
        number = int.from_bytes(digest.digest(), "big")
        if number in self._ids:
            return
        if len(self._ids) < SAMPLED:
            heapq.heappush(self._largest, -number)
        elif number < -self._largest[0]:
            del self._ids[-heapq.heapreplace(self._largest, -number)]
        else:
            return
        self._ids[number] = trace.id

    @property
    def count(self) -> int:
        """Distinct inputs; of more than `SAMPLED`, an estimate (standard error 3 %)."""
        if len(self._ids) < SAMPLED:
            return len(self._ids)
        return round((SAMPLED - 1) * _HASHES / -self._largest[0])

    @property
    def sampled(self) -> tuple[tuple[int, str], ...]:
        """Hashes and ids of calls, the smallest hash first."""
        return tuple(sorted(self._ids.items()))


class WindowCount:
    """The open window of one champion's time, to be gone on with from what is kept of it."""

    def __init__(
        self, task: Task, spec: ModelSpec, slow_s: float | None, known: OpenWindow
    ) -> None:
        self._task = task
        self._known = known
        self._hours = HourSums(spec, slow_s, known.hours)
        self._inputs = InputSample(f"{known.counted_by} {known.number}", known.sample)
        self._mix = Counter(known.mix)
        self._seconds = defaultdict(float, known.seconds)
        self.since = known.since
        self.until = known.until

    def add(self, traces: Iterable[Trace], until: datetime) -> None:
        """All calls from `self.until` to before `until`."""
        for trace in traces:
            self._hours.add(trace)
            self._inputs.add(trace)
            self._seconds[step_of(trace.latency_s)] += trace.weight
            if (kind := self._kind(trace)) is not None:
                self._mix[kind] += 1
        self.until = until

    @property
    def inputs(self) -> int:
        return self._inputs.count

    @property
    def known(self) -> OpenWindow:
        return self._known.model_copy(
            update={
                "until": self.until,
                "hours": self._hours.hours,
                "mix": dict(self._mix),
                "sample": self._inputs.sampled,
                "seconds": dict(self._seconds),
            }
        )

    def _kind(self, trace: Trace) -> str | None:
        """Of a valid answer. Those that break the contract are the concern of another test."""
        if not trace.valid or trace.output is None:
            return None
        try:
            value = parse(self._task.output, trace.output)
        except ValueError:  # masking may break what was valid when it was sent
            return None
        return kind_of_answer(self._task.output, trace.output, value)


class SideCount:
    """One variant's calls while it is held against another."""

    def __init__(self, known: SideCounts) -> None:
        self._valid = Counter({(good, weight): n for good, weight, n in known.valid})
        self._seconds = Counter({(step, weight): n for step, weight, n in known.seconds})

    def add(self, traces: Iterable[Trace]) -> None:
        for trace in traces:
            self._valid[trace.valid is True, trace.weight] += 1
            self._seconds[step_of(trace.latency_s), trace.weight] += 1

    @property
    def known(self) -> SideCounts:
        return SideCounts(
            valid=tuple((*outcome, n) for outcome, n in sorted(self._valid.items())),
            seconds=tuple((*outcome, n) for outcome, n in sorted(self._seconds.items())),
        )
