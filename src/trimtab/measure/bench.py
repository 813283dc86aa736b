"""Runs a variant over examples and keeps what came of each call, once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from trimtab.engine.base import Engine
from trimtab.engine.cache import RequestCache
from trimtab.measure.meter import Meter
from trimtab.prompt.ask import answer_all, bare_prompt, to_requests
from trimtab.prompt.nearest import NearestPool
from trimtab.score.base import Answered, RowScorer, Scorer, as_rows
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

_Answer = tuple[int, Completion | Failed, bool]
"""Position among what is asked, answer, and whether no call was made for it."""


class _Asked(NamedTuple):
    """One answer wanted."""

    example: Example
    repeat: int

    @property
    def key(self) -> tuple[str, int]:
        return self.example.id, self.repeat


@dataclass(frozen=True)
class Bench:
    """Everything that measuring needs besides a variant and rows."""

    run: Run
    engine: Engine
    spec: ModelSpec
    scorer: Scorer | RowScorer
    contract: OutputContract
    pool: NearestPool
    cache: RequestCache
    meter: Meter

    def records(
        self, variant: Variant, split: SplitName, examples: Sequence[Example], repeats: int = 1
    ) -> list[Record]:
        """A record of each repeat of each example, repeat by repeat in the order of the examples;
        calls that the run holds are not repeated.

        Raises `BudgetSpent` between rounds of calls when the budget ends; what was answered is
        kept.
        """
        path = self.run.records_path(variant.id, split)
        done = {(r.example, r.repeat): r for r in read_records(path)}
        asked = [_Asked(example, repeat) for repeat in range(repeats) for example in examples]
        requests = [
            request
            for repeat in range(repeats)
            for request in self._requests(variant, examples, repeat)
        ]
        # Repeats of one example stand together: an engine may compute their prompt once.
        order = sorted(range(len(asked)), key=lambda i: (_length(requests[i]), *asked[i].key))
        # Chunks are cut from all rows, answered or not, so that a resumed run forms the same
        # batches and so gets the same numbers.
        for chunk in _chunks(order, self.engine.chunk_size):
            missing = {i: requests[i] for i in chunk if asked[i].key not in done}
            answered: list[Record] = []
            try:
                for judged in self._judged(asked, self._answers(variant, missing)):
                    answered.append(_record(variant, *judged))
            finally:
                # One write, so that a kill leaves a chunk whole or undone. Single answers that a
                # kill takes from an unfinished chunk are in the request cache.
                append(path, answered)
            done.update({(record.example, record.repeat): record for record in answered})
        return [done[each.key] for each in asked]

    def sampled(
        self, variant: Variant, split: SplitName, examples: Sequence[Example], repeats: int
    ) -> list[Record]:
        """`repeats` sampled answers to each example, for agreement."""
        warm = variant.model_copy(update={"temperature": SAMPLING_TEMPERATURE})
        return self.records(warm, split, examples, repeats)

    def timed(self, variant: Variant, example: Example) -> Completion | None:
        """One answer made alone, with the seconds of all its rounds, never from a cache; None where
        it failed."""
        path = self.run.folder / "records" / f"{variant.id}-latency.jsonl"
        done = {record.example: record for record in read_records(path)}
        if example.id not in done:
            (request,) = self._requests(variant, [example], 0)
            ((_, answer),) = answer_all(variant, self.contract, {0: request}, self._time)
            (judged,) = self._judged([_Asked(example, 0)], [(0, answer, False)])
            done[example.id] = _record(variant, *judged)
            append(path, [done[example.id]])
        return done[example.id].completion

    def _requests(
        self, variant: Variant, examples: Sequence[Example], repeat: int
    ) -> list[Request]:
        return to_requests(variant, examples, self.pool, self.contract, self.run.folder, repeat)

    def _answers(
        self, variant: Variant, requests: Mapping[int, Request]
    ) -> Iterator[tuple[int, Completion | Failed, bool]]:
        """(position, final answer, whether no call was made for it) for each request.

        The budget is checked before each round. Where it allows fewer calls than rows wait, the
        first rows are answered to their end, because half an answer is worth nothing.
        """
        called: set[int] = set()

        def ask(waiting: Mapping[int, Request]) -> Iterator[tuple[int, Completion | Failed]]:
            self.meter.check()
            now = dict(islice(waiting.items(), self._affordable(waiting.values())))
            for i, answer, kept in self._calls(variant, now):
                if not kept:
                    called.add(i)
                yield i, answer
                if not kept:
                    self._book(answer)  # last, so that whatever ends here finds a record made

        for i, answer in answer_all(variant, self.contract, requests, ask):
            yield i, answer, i not in called

    def _affordable(self, requests: Iterable[Request]) -> int:
        """How many of the first requests the calls and the money left pay for, at least one.

        Each is counted at the most that it may cost: what is on its way cannot be taken back.
        """
        if self.spec.prices is None:
            return self.meter.calls_left
        left, count = self.meter.money_left, 0
        for request in islice(requests, self.meter.calls_left):
            tokens_in = self.engine.count_tokens(request.messages)
            left -= self.spec.prices.of(tokens_in, 0, request.decoding.max_tokens)
            if left < 0 and count:
                break
            count += 1
        return count

    def _calls(
        self, variant: Variant, requests: Mapping[int, Request]
    ) -> Iterator[tuple[int, Completion | Failed, bool]]:
        """(position, answer of one round, whether it came from the cache) for each request."""
        to_call = []
        for i, request in requests.items():
            kept = self._kept(variant, request)
            if kept is None:
                to_call.append(i)
            else:
                yield i, kept, True
        for position, answer in self.engine.generate([requests[i] for i in to_call]):
            i = to_call[position]
            if isinstance(answer, Completion):
                self.cache.put(self._key(variant, requests[i]), answer)
            yield i, answer, False

    def _time(self, requests: Mapping[int, Request]) -> Iterator[tuple[int, Completion | Failed]]:
        for i, request in requests.items():
            self.meter.check()
            answer = self.engine.time_call(request)
            self._book(answer)
            yield i, answer

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

    def _judged(
        self, asked: Sequence[_Asked], answers: Iterable[_Answer]
    ) -> Iterator[tuple[_Asked, Completion | Failed, Scored | Failed, bool]]:
        """(what was asked, answer, outcome, whether reused) for each (position, answer, reused).

        Each is judged as it comes; where judging calls a model, all together after the last.
        """
        scorer = as_rows(self.scorer)
        waiting: list[_Answer] = []
        for each in answers:
            waiting.append(each)
            if not scorer.batched:
                yield from _score(scorer, asked, waiting)
                waiting = []
        yield from _score(scorer, asked, waiting)

    def _book(self, answer: Completion | Failed) -> None:
        if isinstance(answer, Failed):
            self.meter.book(calls=answer.attempts)
            return
        self.meter.book(
            calls=answer.attempts,
            tokens_in=answer.tokens_in,
            tokens_out=answer.tokens_out,
            money=call_price(self.spec, answer),
        )


def _score(
    scorer: RowScorer, asked: Sequence[_Asked], answers: Sequence[_Answer]
) -> Iterator[tuple[_Asked, Completion | Failed, Scored | Failed, bool]]:
    rows = {
        i: Answered(
            input=asked[i].example.input, target=asked[i].example.target, answer=answer.text
        )
        for i, answer, _ in answers
        if isinstance(answer, Completion)
    }
    outcomes = dict(zip(rows, scorer.score_rows(list(rows.values())), strict=True))
    for i, answer, reused in answers:
        outcome = answer if isinstance(answer, Failed) else outcomes[i]
        yield asked[i], answer, outcome, reused


def _record(
    variant: Variant,
    asked: _Asked,
    answer: Completion | Failed,
    outcome: Scored | Failed,
    reused: bool,
) -> Record:
    return Record(
        variant=variant.id,
        example=asked.example.id,
        repeat=asked.repeat,
        completion=answer if isinstance(answer, Completion) else None,
        outcome=outcome,
        reused=reused,
    )


def call_price(spec: ModelSpec, answer: Completion) -> float:
    """What an endpoint charges for one answer; 0 for a machine of one's own, which costs time."""
    if spec.prices is None:
        return 0.0
    return spec.prices.of(answer.tokens_in, answer.tokens_cached, answer.tokens_out)


def prompt_tokens(bench: Bench, variant: Variant, examples: Sequence[Example]) -> float:
    """Mean tokens of the variant's prompt without the input: what a fine-tune could save.

    Of its first call, where it answers in rounds.
    """
    bare = (bare_prompt(variant, example.input, bench.pool) for example in examples)
    counts = [bench.engine.count_tokens(messages) for messages in bare]
    return sum(counts) / len(counts)


def _length(request: Request) -> int:
    return sum(len(message.content) for message in request.messages)


def _chunks(order: Sequence[int], size: int) -> Iterable[Sequence[int]]:
    return (order[start : start + size] for start in range(0, len(order), size))
