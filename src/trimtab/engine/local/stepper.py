"""Continuous batching: calls of several variants enter and leave the passes of one model."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trimtab.engine.base import Event
from trimtab.engine.local.attention import Prefix
from trimtab.engine.local.batch import Batch
from trimtab.engine.local.decode import Decoder, Row
from trimtab.engine.local.template import ChatTemplate, GrowingText
from trimtab.engine.local.turns import Group, Turns
from trimtab.types import Completion, Failed, Request

Prepare = Callable[[int, Request], tuple[tuple[int, ...], Row] | Failed]


@dataclass
class _Call:
    row: Row
    text: GrowingText | None
    """Where its text is wanted piece by piece."""


@dataclass
class _Members:
    """The calls of one group, by key, and their batch once it had its first turn."""

    calls: dict[int, _Call] = field(default_factory=dict)
    batch: Batch | None = None


class LocalStepper:
    """See `trimtab.engine.base.Stepper`. One batch for each adapter and shared prefix; a step is a
    pass of one of them, and `Turns` says of which."""

    def __init__(
        self,
        decoder: Decoder,
        template: ChatTemplate,
        *,
        prepare: Prepare,
        use: Callable[[str | None], None],
        prefix: Callable[[str | None, tuple[int, ...]], Prefix],
        completion: Callable[[Row, Prefix], Completion],
    ) -> None:
        self._decoder = decoder
        self._template = template
        self._prepare = prepare
        self._use = use
        self._prefix = prefix
        self._completion = completion
        self._turns = Turns()
        self._groups: dict[Group, _Members] = {}
        self._refused: list[tuple[int, Event]] = []
        """What ended before its first pass."""

    def begin(
        self, key: int, request: Request, *, stream: bool = False, background: bool = False
    ) -> None:
        """See `Stepper.begin`."""
        try:
            prepared = self._prepare(key, request)
        except Exception as error:  # as a contract that cannot constrain: of this call alone
            self._refused.append((key, error))
            return
        if isinstance(prepared, Failed):
            self._refused.append((key, prepared))
            return
        shared, row = prepared
        group = Group(request.adapter, shared, background)
        members = self._groups.setdefault(group, _Members())
        text = GrowingText(self._template) if stream and self._template.grows else None
        members.calls[key] = _Call(row, text)
        if members.batch is not None:
            members.batch.add(row)

    def leave(self, key: int) -> None:
        """See `Stepper.leave`."""
        self._refused = [event for event in self._refused if event[0] != key]
        for group, members in list(self._groups.items()):
            call = members.calls.pop(key, None)
            if call is not None:
                call.row.left = True
            if not members.calls:
                del self._groups[group]

    def step(self) -> list[tuple[int, Event]]:
        """See `Stepper.step`."""
        events, self._refused = self._refused, []
        if self._groups:
            group = self._turns.next(list(self._groups))
            events += self._pass(group, self._groups[group])
        return events

    def _pass(self, group: Group, members: _Members) -> list[tuple[int, Event]]:
        try:
            began = time.perf_counter()
            batch = self._ready(group, members)
            ready = time.perf_counter()
            ended = batch.advance(len(self._groups))
            self._turns.took(ready - began, time.perf_counter() - ready)
        except Exception as error:  # other groups go on
            del self._groups[group]
            return [(key, error) for key in members.calls]
        events: list[tuple[int, Event]] = [
            (key, piece)
            for key, call in members.calls.items()
            if call.text is not None and (piece := call.text.more(call.row.tokens))
        ]
        for row in ended:
            events += self._end(members, batch, row)
        if not members.calls:
            del self._groups[group]
        return events

    def _ready(self, group: Group, members: _Members) -> Batch:
        """The batch of a group, with its adapter in place."""
        if members.batch is None:
            members.batch = Batch(self._decoder, self._prefix(group.adapter, group.shared))
            for call in members.calls.values():
                members.batch.add(call.row)
        else:
            self._use(group.adapter)
        return members.batch

    def _end(self, members: _Members, batch: Batch, row: Row) -> Sequence[tuple[int, Event]]:
        call = members.calls.pop(row.position, None)
        if call is None:
            return []  # it left
        if row.error is not None:
            return [(row.position, row.error)]
        completion = self._completion(row, batch.prefix)
        rest = call.text.rest(completion.text) if call.text is not None else ""
        pieces: list[tuple[int, Event]] = [(row.position, rest)] if rest else []
        return [*pieces, (row.position, completion)]
