"""Traces, reviews and tasks for the tests of the watch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from trimtab.store.database import Database
from trimtab.store.reviews import Batch, Item, Outcome, ReviewedCall, add_batch, settle
from trimtab.store.traces import Trace, new_id
from trimtab.store.watching import SideCounts
from trimtab.task.load import load_task
from trimtab.watch.check import Watched
from trimtab.watch.counts import SideCount
from trimtab.watch.settings import WatchSettings

START = datetime(2026, 1, 5, tzinfo=UTC)
SCREENS = ("parcel", "refund", "screen", "invoice", "battery", "charger", "delay", "address")
OTHERS = ("violin", "sonata", "tempo", "chord", "octave", "opera", "flute", "tenor")


def trace(moment: datetime, **changes: object) -> Trace:
    return Trace(
        **{  # type: ignore[arg-type]
            "id": new_id(moment.timestamp()),
            "task": "names",
            "time": moment,
            "role": "champion",
            "variant": "v",
            "run": "r",
            "deployment": 1,
            "input": "in",
            "output": "person",
            "valid": True,
            "tokens_in": 100,
            "tokens_cached": 0,
            "tokens_out": 2,
            "latency_s": 0.25,
        }
        | changes
    )


def counts(traces: Iterable[Trace]) -> SideCounts:
    side = SideCount(SideCounts())
    side.add(traces)
    return side.known


def seconds(traces: Iterable[Trace]) -> dict[int, float]:
    """Calls by step of seconds."""
    found: dict[int, float] = {}
    for step, weight, n in counts(traces).seconds:
        found[step] = found.get(step, 0.0) + weight * n
    return found


def week_of_calls(
    week: int,
    rng: np.random.Generator,
    *,
    calls: int = 200,
    words: Sequence[str] = SCREENS,
    company: float = 0.5,
    start: datetime = START,
    **changes: object,
) -> list[Trace]:
    """Calls spread over a week, with inputs of three words and a number."""
    found = []
    for i in range(calls):
        moment = start + timedelta(weeks=week, hours=168 * (i + 0.5) / calls)
        chosen = " ".join(rng.choice(words, 3).tolist())
        label = "company" if rng.random() < company else "person"
        text = f"{chosen} {rng.integers(10_000)}"
        found.append(trace(moment, input=text, output=label, **changes))
    return found


def call(
    minute: float, score: float, probability: float = 1.0, batch: int = 1, variant: str = "v"
) -> ReviewedCall:
    moment = START + timedelta(minutes=minute)
    return ReviewedCall(
        trace=new_id(moment.timestamp()),
        variant=variant,
        score=score,
        probability=probability,
        batch=batch,
        settled=moment,
    )


def review(database: Database, served: Sequence[Trace], scores: Sequence[float]) -> None:
    """As if all these calls had been drawn and judged."""
    items = [
        Item(
            id=new_id(),
            task=each.task,
            batch=1,
            place=0.5,
            source="trace",
            origin=each.id,
            reason="random",
            probability=1.0,
            input=each.input,
            answer=each.output or "",
            variant=each.variant,
            run=each.run,
            time=each.time,
        )
        for each in served
    ]
    batch = Batch(
        task=served[0].task,
        number=1,
        time=served[0].time,
        source="trace",
        until=served[-1].id,
        frame=len(items),
        drawn=len(items),
    )
    add_batch(database, batch, items)
    for item, score in zip(items, scores, strict=True):
        outcome = Outcome(
            action="approve", target=item.answer, by=("reviewer-1",), time=START + timedelta(days=1)
        )
        settle(database, item.id, "done", outcome, score)


def watched(folder: Path, database: Database, **changes: object) -> Watched:
    return Watched(folder, load_task(folder), WatchSettings(**changes), database)  # type: ignore[arg-type]
