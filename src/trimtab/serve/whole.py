"""Steps of an engine that answers whole batches only."""

from __future__ import annotations

from trimtab.engine.base import Engine, Event
from trimtab.types import Request


class WholeBatches:
    """A step is a batch of what began since the last one, calls in the background only where there
    are no others; see `trimtab.engine.base.Stepper`. A call cannot leave a batch under way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._front: dict[int, Request] = {}
        self._behind: dict[int, Request] = {}

    def begin(
        self, key: int, request: Request, *, stream: bool = False, background: bool = False
    ) -> None:
        """See `Stepper.begin`; an answer comes in one piece."""
        (self._behind if background else self._front)[key] = request

    def leave(self, key: int) -> None:
        """See `Stepper.leave`."""
        self._front.pop(key, None)
        self._behind.pop(key, None)

    def step(self) -> list[tuple[int, Event]]:
        """See `Stepper.step`."""
        waiting = self._front or self._behind
        keys = list(waiting)[: self._engine.chunk_size]
        batch = [waiting.pop(key) for key in keys]
        try:
            return [(keys[position], answer) for position, answer in self._engine.generate(batch)]
        except Exception as error:
            return [(key, error) for key in keys]
