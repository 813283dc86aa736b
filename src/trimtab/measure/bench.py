"""Runs a variant over examples and keeps what came of each call, once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from trimtab.engine.base import Engine
from trimtab.engine.cache import RequestCache
from trimtab.errors import DataError
from trimtab.measure.meter import Meter
from trimtab.prompt.nearest import NearestPool
from trimtab.prompt.variants import to_requests
from trimtab.score.base import Scorer
from trimtab.store.files import append, read_records
from trimtab.store.run import Run
from trimtab.task.spec import ModelSpec
from trimtab.types import (
    Completion,
    Example,
    Failed,
    OutputContract,
    Record,
    Request,
    Scored,
    SplitName,
    Variant,
)

SAMPLING_TEMPERATURE = 0.7
"""A common production setting; agreement is measured at it."""


@dataclass(frozen=True)
class Bench:
    """Everything that measuring needs besides a variant and rows."""

    run: Run
    engine: Engine
    spec: ModelSpec
    scorer: Scorer
    contract: OutputContract
    pool: NearestPool
    cache: RequestCache
    meter: Meter

    def records(
        self, variant: Variant, split: SplitName, examples: Sequence[Example], repeat: int = 0
    ) -> list[Record]:
        """One record per example, in their order; calls that the run holds are not repeated.

        Raises `BudgetSpent` between chunks when the budget ends; what was answered is kept.
        """
        path = self.run.records_path(variant.id, split)
        done = {r.example: r for r in read_records(path) if r.repeat == repeat}
        requests = self._requests(variant, examples, repeat)
        order = sorted(range(len(examples)), key=lambda i: (_length(requests[i]), examples[i].id))
        # Chunks are cut from all rows, answered or not, so that a resumed run forms the same
        # batches and so gets the same numbers.
        for chunk in _chunks(order, self.engine.chunk_size):
            missing = [i for i in chunk if examples[i].id not in done]
            while missing:
                self.meter.check()
                now = missing[: self.meter.calls_left]
                answered: list[Record] = []
                try:
                    for i, answer, reused in self._answers(variant, requests, now):
                        answered.append(self._record(variant, examples[i], repeat, answer, reused))
                        self._book(answer, reused)
                finally:
                    # One write, so that a kill leaves a chunk whole or undone. Single answers that
                    # a kill takes from an unfinished chunk are in the request cache.
                    append(path, answered)
                done.update({record.example: record for record in answered})
                missing = missing[len(now) :]
        return [done[example.id] for example in examples]

    def sampled(
        self, variant: Variant, split: SplitName, examples: Sequence[Example], repeats: int
    ) -> list[Record]:
        """`repeats` sampled answers to each example, for agreement."""
        warm = variant.model_copy(update={"temperature": SAMPLING_TEMPERATURE})
        return [
            record
            for repeat in range(repeats)
            for record in self.records(warm, split, examples, repeat)
        ]

    def timed(self, variant: Variant, example: Example) -> Completion | None:
        """One call made alone, with its seconds, never from a cache; None where it failed."""
        path = self.run.folder / "records" / f"{variant.id}-latency.jsonl"
        done = {record.example: record for record in read_records(path)}
        if example.id not in done:
            self.meter.check()
            (request,) = self._requests(variant, [example], 0)
            answer = self.engine.time_call(request)
            done[example.id] = self._record(variant, example, 0, answer, reused=False)
            append(path, [done[example.id]])
            self._book(answer, reused=False)
        return done[example.id].completion

    def _requests(
        self, variant: Variant, examples: Sequence[Example], repeat: int
    ) -> list[Request]:
        return to_requests(variant, examples, self.pool, self.contract, self.run.folder, repeat)

    def _answers(
        self, variant: Variant, requests: Sequence[Request], wanted: Sequence[int]
    ) -> Iterator[tuple[int, Completion | Failed, bool]]:
        """(position, answer, whether it came from the cache) for each wanted position."""
        to_call = []
        for i in wanted:
            kept = self._kept(variant, requests[i])
            if kept is None:
                to_call.append(i)
            else:
                yield i, kept, True
        for position, answer in self.engine.generate([requests[i] for i in to_call]):
            i = to_call[position]
            if isinstance(answer, Completion):
                self.cache.put(self._key(variant, requests[i]), answer)
            yield i, answer, False

    def _kept(self, variant: Variant, request: Request) -> Completion | None:
        """The answer that is known without a call.

        Besides the same request, that is the unconstrained greedy answer wherever the engine is
        certain that the constraint would not have changed it.
        """
        kept = self.cache.get(self._key(variant, request))
        contract = request.decoding.contract
        if kept is None and contract is not None and request.decoding.temperature == 0:
            free = request.decoding.model_copy(update={"contract": None})
            answer = self.cache.get(
                self._key(variant, request.model_copy(update={"decoding": free}))
            )
            if answer is not None and self.engine.satisfies(contract, answer):
                return answer
        return kept

    def _key(self, variant: Variant, request: Request) -> str:
        sha256 = variant.adapter.sha256 if variant.adapter else None
        return self.cache.key(self.engine, request, sha256)

    def _record(
        self,
        variant: Variant,
        example: Example,
        repeat: int,
        answer: Completion | Failed,
        reused: bool,
    ) -> Record:
        completion = answer if isinstance(answer, Completion) else None
        outcome = answer if isinstance(answer, Failed) else self._judge(answer.text, example)
        return Record(
            variant=variant.id,
            example=example.id,
            repeat=repeat,
            completion=completion,
            outcome=outcome,
            reused=reused,
        )

    def _judge(self, text: str, example: Example) -> Scored | Failed:
        try:
            return self.scorer(text, example.target)
        except DataError as error:
            return Failed(boundary="scorer", message=str(error))

    def _book(self, answer: Completion | Failed, reused: bool) -> None:
        if reused:
            return
        if isinstance(answer, Failed):
            self.meter.book(calls=answer.attempts)
            return
        self.meter.book(
            calls=answer.attempts,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            money=call_price(self.spec, answer),
        )


def call_price(spec: ModelSpec, answer: Completion) -> float:
    """What an endpoint charges for one answer; 0 for a machine of one's own, which costs time."""
    if spec.prices is None:
        return 0.0
    return spec.prices.of(answer.tokens_in, answer.tokens_cached, answer.tokens_out)


def prompt_tokens(bench: Bench, variant: Variant, examples: Sequence[Example]) -> float:
    """Mean tokens of the variant's prompt without the input: what a fine-tune could save."""
    requests = to_requests(variant, examples, bench.pool, bench.contract, bench.run.folder)
    engine = bench.engine
    bare = [request.messages[-1].model_copy(update={"content": ""}) for request in requests]
    counts = [
        engine.count_tokens((*request.messages[:-1], empty))
        for request, empty in zip(requests, bare, strict=True)
    ]
    return sum(counts) / len(counts)


def _length(request: Request) -> int:
    return sum(len(message.content) for message in request.messages)


def _chunks(order: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (order[start : start + size] for start in range(0, len(order), size))
