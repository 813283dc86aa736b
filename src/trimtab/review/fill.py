"""Fills the queue: draws from the calls since the last draw, and from the labelled rows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from trimtab.review.draw import Drawn, draw
from trimtab.review.settings import ReviewSettings
from trimtab.review.signals import Signals, call_signals, canonical, dev_answers, row_signals
from trimtab.serve.settings import ServeSettings
from trimtab.store.database import Database
from trimtab.store.reviews import (
    Batch,
    Item,
    Request,
    Source,
    add_batch,
    count_waiting,
    expire,
    known_origins,
    last_batch,
    open_requests,
    outcomes,
)
from trimtab.store.traces import Trace, feedback_since, new_id, read_traces
from trimtab.task.open import OpenTask
from trimtab.task.reviewed import REVIEWED_FILE
from trimtab.types import Example, content_hash

MOST_CALLS = 3_000
"""Calls that are looked at for a draw; of more, a random part."""
MOST_ROWS = 3_000


class Filler:
    """Draws for one task. `rng` decides; a fixed one makes the draws repeatable in tests."""

    def __init__(
        self,
        opened: OpenTask,
        settings: ReviewSettings,
        serving: ServeSettings,
        rng: random.Random | None = None,
    ) -> None:
        self._opened = opened
        self._settings = settings
        self._serving = serving
        self._rng = rng or random.SystemRandom()

    def fill(self, database: Database, now: datetime | None = None) -> int:
        """Draw what is due; how many items came. Reading and judging a full frame takes seconds."""
        now = now or datetime.now(UTC)
        task, settings = self._opened.task.name, self._settings
        expire(database, task, now - timedelta(days=self._serving.capture.retention_days))
        is_due = count_waiting(database, task, "trace") <= settings.batch // 2
        drawn = self._draw_calls(database, now, settings.batch if is_due else 0)
        if settings.rows and count_waiting(database, task, "row") <= settings.rows // 2:
            drawn += self._draw_rows(database, now)
        return drawn

    def _draw_calls(self, database: Database, now: datetime, usual: int) -> int:
        """Draw `usual` items and what requests ask for. What the calls since the last draw are too
        few for stays asked for."""
        asked = open_requests(database, self._opened.task.name)
        extra = sum(request.items for request in asked)
        wanted = usual + extra
        if not wanted:
            return 0
        settled = now - self._serving.settled_after
        last = last_batch(database, self._opened.task.name, "trace")
        calls, frame, until = self._calls_since(database, last.until if last else "", settled)
        # Where nobody waits for items, judging every few calls by themselves would be for nothing.
        fewest = 1 if usual else max(1, min(extra, self._settings.batch // 2))
        if len(calls) < fewest:
            return 0
        part = len(calls) / frame
        share = (usual * self._settings.random_share + extra) / wanted
        signals = self._of_calls(database, calls)
        drawn = draw([each.ordered for each in signals], wanted, share, self._rng)
        items = [self._call_item(calls[d.place], signals[d.place], d, part) for d in drawn]
        met = round(extra * min(1.0, len(calls) / wanted))
        return self._keep(database, "trace", until, frame, items, asked, met)

    def _calls_since(
        self, database: Database, after: str, until: datetime
    ) -> tuple[list[Trace], int, str]:
        """Answered calls after this trace id: at most `MOST_CALLS`, drawn alike; how many there
        were; and the id of the last one."""
        chosen: list[Trace] = []
        count, last = 0, after
        for trace in read_traces(database, self._opened.task.name, _moment(after), until):
            if trace.id <= after:
                continue
            last = trace.id
            if trace.role == "shadow" or trace.output is None:
                continue
            count += 1
            if len(chosen) < MOST_CALLS:
                chosen.append(trace)
            elif (place := self._rng.randrange(count)) < MOST_CALLS:  # reservoir sampling
                chosen[place] = trace
        return chosen, count, last

    def _of_calls(self, database: Database, calls: Sequence[Trace]) -> list[Signals]:
        task = self._opened.task
        first = min(call.time for call in calls)
        wanted = {call.id for call in calls}
        shadows = {
            trace.of: trace.output
            for trace in read_traces(database, task.name, first - timedelta(seconds=1))
            if trace.role == "shadow" and trace.of in wanted and trace.output is not None
        }
        return call_signals(
            task.output,
            calls,
            {of: text for of, text in shadows.items() if of is not None},
            feedback_since(database, task.name, first - timedelta(seconds=1)),
            self._shown_rows(),
            task.seed,
        )

    def _draw_rows(self, database: Database, now: datetime) -> int:
        task = self._opened.task
        known = known_origins(database, task.name, "row")
        known |= {  # a corrected row has another id than the one that was drawn
            content_hash(item.input, outcome.target)
            for item, outcome in outcomes(database, task.name)
            if outcome.target is not None
        }
        rows = [row for row in self._shown_rows() if row.id not in known]
        if not rows:
            return 0
        answers = dev_answers(self._opened.folder / "runs", task.output)
        signals = row_signals(task.output, rows, answers, task.seed)
        reasons = [each.ordered for each in signals]
        drawn = draw(reasons, self._settings.rows, self._settings.random_share, self._rng)
        items = [self._row_item(rows[d.place], signals[d.place], d) for d in drawn]
        return self._keep(database, "row", rows[-1].id, len(rows), items)

    def _shown_rows(self) -> list[Example]:
        """Rows of train and dev, without those that come from a review. The test stays sealed: who
        chose its rows by what a model finds unlikely would bend it towards that model."""
        split = self._opened.split
        rows = [*split.dev, *split.train]
        return [row for row in rows if not row.source.startswith(REVIEWED_FILE)][:MOST_ROWS]

    def _call_item(self, call: Trace, signals: Signals, drawn: Drawn, part: float) -> Item:
        answer = call.output or ""
        return self._item(
            signals,
            drawn,
            source="trace",
            origin=call.id,
            probability=drawn.probability * part / call.weight,
            input=call.input,
            answer=canonical(self._opened.task.output, answer) or answer,
            problem=call.problem,
            variant=call.variant,
            run=call.run,
            time=call.time,
            redacted=call.redacted,
        )

    def _row_item(self, row: Example, signals: Signals, drawn: Drawn) -> Item:
        contract = self._opened.task.output
        problem = None if canonical(contract, row.target) else "the label breaks the contract"
        return self._item(
            signals,
            drawn,
            source="row",
            origin=row.id,
            probability=drawn.probability,
            input=row.input,
            answer=row.target,
            problem=problem,
            time=row.time,
        )

    def _item(self, signals: Signals, drawn: Drawn, **fields: object) -> Item:
        return Item.model_validate(
            {
                "id": new_id(),
                "task": self._opened.task.name,
                "batch": 0,
                "place": drawn.order,
                "reason": drawn.reason,
                "reasons": signals.ordered,
                "others": tuple(signals.others),
                "needed": 2 if self._rng.random() < self._settings.second_reviewer else 1,
                **fields,
            }
        )

    def _keep(
        self,
        database: Database,
        source: Source,
        until: str,
        frame: int,
        items: list[Item],
        asked: Sequence[Request] = (),
        met: int = 0,
    ) -> int:
        task = self._opened.task.name
        last = last_batch(database, task)
        number = last.number + 1 if last else 1
        batch = Batch(
            task=task,
            number=number,
            time=datetime.now(UTC),
            source=source,
            until=until,
            frame=frame,
            drawn=len(items),
        )
        kept = [item.model_copy(update={"batch": number}) for item in items]
        return len(kept) if add_batch(database, batch, kept, asked, met) else 0


def _moment(trace_id: str) -> datetime | None:
    """A little before a trace's time; None for no trace."""
    if not trace_id:
        return None
    return datetime.fromtimestamp(int(trace_id[:12], 16) / 1000 - 0.01, UTC)
