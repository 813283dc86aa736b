"""Callers that go on whatever happens, and the count of what they met."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from _load import Connection, chat_request, connect

from trimtab.store.database import Database
from trimtab.store.deployments import history
from trimtab.store.traces import read_traces

CALLERS = 16
_PAUSE_S = 0.02
"""Between an answer and the next call of the same caller."""
_PATIENCE_S = 20.0
"""A caller who waits longer counts the call as not answered."""
_WELL_AGAIN_S = 30.0


@dataclass(frozen=True)
class Call:
    """One call and what came of it. Times are of `time.perf_counter`."""

    input: str
    began: float
    ended: float
    status: int | None
    """None where the connection ended, or the caller's patience did."""
    trace: str | None = None
    """Acknowledged with the answer."""
    variant: str | None = None
    said: str = ""
    """The answer; the message of an error."""

    @property
    def is_well(self) -> bool:
        return self.status == 200 and self.trace is not None


@dataclass
class Counted:
    """What the calls around one fault came to."""

    calls: int
    acknowledged: int
    missing: int
    """Acknowledged, and not in the database."""
    without_trace: int
    """Answered without an acknowledgement."""
    refused: dict[str, int]
    """By status and message."""
    unanswered: int
    wrong: int
    """Answers that are not those of the variant they name, or that was promoted."""
    unclear: int
    """Errors that are not in the interface's shape."""
    longest_s: float
    back_s: float
    """From the end of the fault to the last call that was not answered and acknowledged."""
    switched_s: float
    """From a promotion, or rollback, to the last call that began and met the old variant."""
    other_time: int
    """Kept with a time that is an hour or more from the callers' own: shows that a clock jumped."""
    health: str
    """What /health said at the end of the fault."""
    tracebacks: int = 0
    server_mb: float = 0.0

    @property
    def is_bad(self) -> bool:
        return bool(self.missing or self.wrong or self.unclear or self.tracebacks)

    def shown(self) -> dict[str, object]:
        return {
            name: round(value, 2) if isinstance(value, float) else value
            for name, value in vars(self).items()
        }


class Load:
    """Callers side by side; each makes its next call once the last one is answered."""

    def __init__(self, port: int, task: str) -> None:
        self.calls: list[Call] = []
        self._port = port
        self._task = task
        self._numbers = count()
        self._last: dict[int, Call] = {}
        self._stopping = False

    @staticmethod
    def now() -> float:
        return time.perf_counter()

    async def health(self) -> str:
        """The problem that /health names; or else its status."""
        connection = await connect(self._port)
        head = f"GET /health HTTP/1.1\r\nhost: 127.0.0.1:{self._port}\r\n\r\n"
        answer = await connection.call(head.encode())
        found = json.loads(answer.partition(b"\r\n\r\n")[2])
        return str(found["problem"] or found["status"])

    async def all_well_since(self, moment: float) -> None:
        """Wait until each caller's last call began after `moment` and was acknowledged."""
        end = self.now() + _WELL_AGAIN_S
        while self.now() < end:
            last = self._last.values()
            if len(last) == CALLERS and all(c.is_well and c.began > moment for c in last):
                return
            await asyncio.sleep(0.05)

    async def call_on(self, caller: int) -> None:
        connection: Connection | None = None
        while not self._stopping:
            text = f"Anna {next(self._numbers)}"
            began = self.now()
            try:
                async with asyncio.timeout(_PATIENCE_S):
                    connection = connection or await connect(self._port)
                    answer = await connection.call(chat_request(self._port, self._task, text))
                made = _read(answer, text, began, self.now())
            except (OSError, TimeoutError):  # ConnectionError is one of the former
                connection = None
                made = Call(text, began, self.now(), None)
            self.calls.append(made)
            self._last[caller] = made
            await asyncio.sleep(_PAUSE_S)

    def stop(self) -> None:
        self._stopping = True


@asynccontextmanager
async def keep_calling(port: int, task: str) -> AsyncIterator[Load]:
    load = Load(port, task)
    callers = [asyncio.create_task(load.call_on(number)) for number in range(CALLERS)]
    try:
        yield load
    finally:
        load.stop()
        await asyncio.gather(*callers)


def count_calls(
    calls: Sequence[Call],
    ended: float,
    url: str,
    task: str,
    labels: Mapping[str, str],
    health: str,
) -> Counted:
    """Compare what the callers were told with what the database holds.

    `labels` are the answers by variant; `ended` is when the fault was over.
    """
    database = Database(url)
    stored = {trace.id: trace for trace in read_traces(database, task)}
    changes = {change.number: change for change in history(database, task)}
    database.close()
    answered = [call for call in calls if call.status == 200]
    kept = [(call, stored[call.trace]) for call in answered if call.trace in stored]
    wrong = [call for call in answered if labels.get(call.variant or "") != call.said]
    for call, trace in kept:
        champion = changes[trace.deployment].state.champion
        same = (trace.variant, trace.output, trace.input) == (call.variant, call.said, call.input)
        if not same or champion is None or champion.variant != call.variant:
            wrong.append(call)
    refused = [call for call in calls if call.status not in (200, None)]
    began_at = time.time() - time.perf_counter()
    late = [
        began_at + call.began - after.time.timestamp()
        for call, trace in kept
        if (after := changes.get(trace.deployment + 1)) is not None
    ]
    return Counted(
        calls=len(calls),
        acknowledged=sum(call.trace is not None for call in answered),
        missing=sum(call.trace is not None and call.trace not in stored for call in answered),
        without_trace=sum(call.trace is None for call in answered),
        refused=dict(Counter(f"{call.status} {call.said}" for call in refused)),
        unanswered=sum(call.status is None for call in calls),
        wrong=len(wrong),
        unclear=sum(call.said == "" for call in refused),
        longest_s=max(call.ended - call.began for call in calls),
        back_s=max([0.0, *(call.ended - ended for call in calls if not call.is_well)]),
        switched_s=max([0.0, *late]),
        other_time=sum(
            abs(trace.time.timestamp() - began_at - call.began) > 3600 for call, trace in kept
        ),
        health=health,
    )


def peak_mb(pid: int) -> float:
    """Most memory that a process ever held."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


def _read(answer: bytes, text: str, began: float, ended: float) -> Call:
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    status, said = int(lines[0].split()[1]), ""
    with suppress(ValueError, KeyError, TypeError):
        found = json.loads(body)
        if status == 200:
            said = found["choices"][0]["message"]["content"]
        else:
            said = re.sub("[0-9a-f]{28}", "ID", found["error"]["message"])
    return Call(
        input=text,
        began=began,
        ended=ended,
        status=status,
        trace=headers.get("x-trimtab-trace"),
        variant=headers.get("x-trimtab-variant"),
        said=said,
    )
