"""The contract between an engine, which runs one model, and everything that calls it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

from trimtab.types import Completion, Failed, Message, OutputContract, Request

_LOCAL_ID = re.compile(r"(?P<weights>.+@[0-9a-f]{8})/[\w-]+")


class Engine(Protocol):
    """Runs one model. Engines hold no state that changes an answer."""

    model_id: str
    """Names weights and numerics exactly; part of every cache key."""

    chunk_size: int
    """How many requests to hand over at once; fixed, so that a resumed run forms equal batches."""

    exact_tokens: bool
    """Whether `count_tokens` counts, or only estimates."""

    @property
    def context(self) -> int | None:
        """Most tokens of a prompt and its answer together; None where the engine does not know."""
        ...

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        """Answer all `requests` (any order), yielding (position, result) as results are final.

        A call that cannot be answered yields `Failed`; `EngineUnavailable` is raised only when
        no call can work at all (endpoint down, key refused).
        """
        ...

    def time_call(self, request: Request) -> Completion | Failed:
        """Answer one request alone, with `latency_s` measured; never from a cache."""
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Tokens of the rendered messages: exact for local models, an estimate for endpoints."""
        ...

    def satisfies(self, contract: OutputContract, completion: Completion) -> bool:
        """Whether greedy decoding under `contract` is certain to give this same completion.

        True only if every step of the unconstrained greedy answer was allowed by the grammar;
        engines that cannot know say False.
        """
        ...


Event = str | Completion | Failed | Exception
"""What is new of a call: a further piece of its text, or its end; an exception is of it alone."""


class Stepper(Protocol):
    """Answers calls that begin and leave between any two passes of an engine. For one thread."""

    def begin(
        self, key: int, request: Request, *, stream: bool = False, background: bool = False
    ) -> None:
        """Take up a call. With `stream`, its text comes in pieces, as far as the engine can; a
        call in the background gives way to others."""
        ...

    def leave(self, key: int) -> None:
        """End a call whose answer nobody wants any more; no event of it follows."""
        ...

    def step(self) -> list[tuple[int, Event]]:
        """Compute the next bit of the calls under way, and give what is new of each, by its key.

        The pieces of a text come in order and before the completion, and are all of it together.
        """
        ...


@runtime_checkable
class Stepping(Protocol):
    """An engine that can answer step by step."""

    def stepper(self) -> Stepper:
        """The engine is then used by nothing else."""
        ...


def same_weights(one: str, other: str) -> bool:
    """Whether two model ids name the same weights, maybe in another precision.

    Ids of local models end in their weights' fingerprint and a precision, which hangs on the
    processor; any other id must be equal.
    """
    parts = _LOCAL_ID.fullmatch(one), _LOCAL_ID.fullmatch(other)
    if parts[0] is None or parts[1] is None:
        return one == other
    return parts[0]["weights"] == parts[1]["weights"]
