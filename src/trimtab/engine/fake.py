"""A deterministic engine without a model, for tests and for trying things out."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from trimtab.task.spec import ModelSpec
from trimtab.types import Completion, Decoding, Failed, Message, OutputContract, Request

Answer = Callable[[Sequence[Message], Decoding], str]


class FakeEngine:
    """Answers by a function; by default with the answer of the most similar demonstration.

    A constrained answer is the free one if that fits, else the most similar label or `{}`. The
    function must therefore not look at `decoding.contract`. Tokens are whitespace-separated words.

    Attributes:
        calls: how many requests were answered or failed so far.
    """

    chunk_size = 16
    exact_tokens = True
    context: int | None = None

    def __init__(
        self,
        answer: Answer | None = None,
        *,
        fail: Callable[[Request], Failed | None] | None = None,
        model_id: str = "fake",
    ) -> None:
        """`fail` says which requests fail, and how; `model_id` should name what `answer` does."""
        self._answer = answer or nearest_demonstration
        self._fail = fail
        self.model_id = model_id
        self.calls = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Completion | Failed]]:
        for position, request in enumerate(requests):
            yield position, self._call(request)

    def time_call(self, request: Request) -> Completion | Failed:
        start = time.perf_counter()
        result = self._call(request)
        if isinstance(result, Failed):
            return result
        return result.model_copy(update={"latency_s": time.perf_counter() - start})

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return sum(len(message.content.split()) for message in messages)

    def satisfies(self, contract: OutputContract, completion: Completion) -> bool:
        return (
            completion.finish == "stop" and _constrain(completion.text, contract) == completion.text
        )

    def _call(self, request: Request) -> Completion | Failed:
        self.calls += 1
        if self._fail and (failed := self._fail(request)):
            return failed
        text = self._answer(request.messages, request.decoding)
        if request.decoding.contract:
            text = _constrain(text, request.decoding.contract)
        words = text.split()
        cut = len(words) > request.decoding.max_tokens
        return Completion(
            text=" ".join(words[: request.decoding.max_tokens]) if cut else text,
            finish="length" if cut else "stop",
            tokens_in=self.count_tokens(request.messages),
            tokens_out=min(len(words), request.decoding.max_tokens),
        )


def from_spec(spec: ModelSpec, progress: Callable[[str], None]) -> FakeEngine:
    """The entry point `fake`."""
    return FakeEngine(model_id=f"fake:{spec.model}")


def nearest_demonstration(messages: Sequence[Message], decoding: Decoding) -> str:
    """Answer of the demonstration whose input shares most character trigrams; `{}` if none."""
    asked = messages[-1].content
    pairs = pairwise(messages)
    shown = [(q.content, a.content) for q, a in pairs if (q.role, a.role) == ("user", "assistant")]
    if not shown:
        return "{}"
    return max(shown, key=lambda pair: _similarity(asked, pair[0]))[1]


def _constrain(text: str, contract: OutputContract) -> str:
    if contract.kind == "label" and text not in contract.labels:
        return max(contract.labels, key=lambda label: _similarity(text, label))
    if contract.kind == "json" and not _is_json_object(text):
        return "{}"
    return text


def _is_json_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


def _similarity(a: str, b: str) -> float:
    """Dice overlap of the character trigrams, 0 to 1."""
    left, right = _trigrams(a), _trigrams(b)
    return 2 * (left & right).total() / (left.total() + right.total())


def _trigrams(text: str) -> Counter[str]:
    padded = f"  {text.casefold()} "
    return Counter(padded[i : i + 3] for i in range(len(padded) - 2))
