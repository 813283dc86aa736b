"""The contract between an engine, which runs one model, and everything that calls it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from trimtab.types import Completion, Failed, Message, OutputContract, Request


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
