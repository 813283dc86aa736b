"""What the server passes around: a variant that serves, a call for it, and who brings it there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from trimtab.predictor import Predictor
from trimtab.store.deployments import Deployed
from trimtab.types import Completion, Failed

Answer = Completion | Failed


class Busy(Exception):
    """More calls wait than are allowed to."""


@dataclass(frozen=True)
class Call:
    """One input for one variant. `id` seeds a sampled answer."""

    id: str
    input: str
    served: Served
    on_text: Callable[[str], None] | None = None
    """Takes the pieces of an answer that is sent as it is written, in any thread."""


class Calls(Protocol):
    """Brings calls to one engine. Used from the server's event loop."""

    @property
    def streams(self) -> bool:
        """Whether the text of an answer comes in pieces where it is wanted so."""
        ...

    @property
    def waiting(self) -> int:
        """Calls that the engine has not taken yet."""
        ...

    def submit(
        self, call: Call, *, background: bool = False
    ) -> Future[Answer] | asyncio.Future[Answer]:
        """Start one call, or queue it; a background call gives way to all others.

        Who cancels the future does not want the answer any more: the engine is free for others.

        Raises:
            Busy: too many calls wait already.
        """
        ...

    async def finish(self) -> None:
        """Answer what was submitted, then let the engine go; nothing may be submitted after it."""
        ...


@dataclass(frozen=True, eq=False)
class Served:
    """A loaded variant, and what brings calls to its engine."""

    deployed: Deployed
    predictor: Predictor
    calls: Calls

    @property
    def streams(self) -> bool:
        """Whether answers may be sent as they are written: free text that is not asked for again.

        Anything else is judged as a whole before anyone sees it.
        """
        free = self.predictor.task.output.kind == "text" and self.predictor.variant.retries == 0
        return free and self.calls.streams
